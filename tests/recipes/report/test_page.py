"""A page of HTML: what a browser would find in it, and that it asks for nothing from elsewhere."""

import html.parser
import re

import pytest
from matplotlib.figure import Figure
from PIL import Image

from recipes.report.page import Section, Table, page, picture_of_figure, picture_of_image

HOSTILE = "<script>alert('1')</script> & \"quoted\""


class Tags(html.parser.HTMLParser):
    """The tags of a page, each a name and its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def tags_of(text):
    return Tags(text).found


def check(text):
    """What holds of every page."""
    found = tags_of(text)
    names = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(names) == len(set(names))
    links = [a["href"] for tag, a in found if tag == "a"]
    assert all(link.removeprefix("#") in names for link in links)
    used = re.findall(r'xlink:href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert {one or other for one, other in used} <= set(names)
    for tag, attributes in found:
        assert tag not in ("script", "iframe", "object", "embed", "form")
        assert not any(name.startswith("on") for name in attributes)
        if tag == "svg":
            assert attributes["role"] == "img"
            assert len(attributes["aria-label"]) > 10
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            assert len(attributes["alt"]) > 10
    assert not re.search(r'(?:src|href)="(?:https?:|//)', text)
    assert len(text) < 3_000_000


def line():
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 2, 3], [3, 1, 2], label="a line")
    axes.set(xlabel="passes", xlim=(1, 3))
    return figure


@pytest.fixture(scope="module")
def text():
    pictures = [
        picture_of_figure(line(), f"A line from 3 to 2 {HOSTILE}"),
        picture_of_figure(line(), "The same line once more", "Again"),
    ]
    pictures.append(picture_of_image(Image.new("L", (8, 8), 128), f"A grey square {HOSTILE}", HOSTILE))
    table = Table(["name", HOSTILE], [["value", HOSTILE]])
    return page(HOSTILE, [Section("One", [HOSTILE], [HOSTILE]), Section("Two", pictures=pictures, tables=[table])])


def test_it_needs_nothing_from_elsewhere_and_has_words_for_every_picture(text):
    check(text)
    assert sum(tag == "svg" for tag, _ in tags_of(text)) == 2
    assert sum(tag == "img" for tag, _ in tags_of(text)) == 1


def test_what_files_say_is_text_and_no_markup(text):
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 9  # title twice, text, command, words and captions, a column and a cell
    (words,) = [a["aria-label"] for tag, a in tags_of(text) if tag == "svg" and "alert" in a["aria-label"]]
    assert words == f"A line from 3 to 2 {HOSTILE}"


def test_words_in_pictures_stay_text(text):
    assert ">passes</text>" in text


def test_the_same_figure_gives_the_same_page():
    assert picture_of_figure(line(), "The same line") == picture_of_figure(line(), "The same line")
