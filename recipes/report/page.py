"""An HTML page that needs nothing from elsewhere: sections of text, commands, pictures with words for them, tables."""

import base64
import dataclasses
import html
import io
import itertools
import pathlib
import re

import jinja2
import matplotlib

from recipes.report.pictures.plain_text import plain_text

TEMPLATE = pathlib.Path(__file__).parent / "page.html"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture, and the words that stand for it where it cannot be seen.

    Args:
        words: str, what it shows, figures too.
        svg: str, drawn lines; or
        source: str, a data URI of pixels.
        caption: str, beneath it.
        shape: str, "wide" in a row of its own, "small" with many in a row, "grid" of large pixels.
    """

    words: str
    svg: str = ""
    source: str = ""
    caption: str = ""
    shape: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Names of columns, and rows of as many cells each."""

    columns: list
    rows: list


@dataclasses.dataclass(frozen=True)
class Section:
    """What stands under one heading: texts, commands, pictures, tables, each a list, in this order.

    A section with none of them is the heading of those that follow it.
    """

    title: str
    texts: list = ()
    commands: list = ()
    pictures: list = ()
    tables: list = ()

    @property
    def has_content(self):
        return any((self.texts, self.commands, self.pictures, self.tables))


def page(title, sections):
    """The page as text.

    Args:
        title: str.
        sections: list of `Section`.
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(TEMPLATE.read_text())
    numbers = itertools.count(1)
    return template.render(title=title, sections=[_with_own_names(section, numbers) for section in sections])


def picture_of_figure(figure, words, caption=""):
    """A `matplotlib.figure.Figure` as a `Picture` of lines and text, the same one for the same figure.

    Args:
        figure: `matplotlib.figure.Figure`.
        words, caption: as in `Picture`.
    """
    text = io.StringIO()
    with plain_text(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": words}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    label = html.escape(words, quote=True)
    svg = re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', svg[svg.index("<svg") :], count=1)
    return Picture(words, svg=svg, caption=caption)


def _with_own_names(section, numbers):
    """A section whose drawings name their parts in their own way.

    Matplotlib calls groups axes_1 and so on in each drawing, and a page may have a name only once.
    """
    pictures = [
        dataclasses.replace(picture, svg=_renamed(picture.svg, f"p{next(numbers)}-")) for picture in section.pictures
    ]
    return dataclasses.replace(section, pictures=pictures)


def _renamed(svg, prefix):
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    return re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{prefix}", svg)


def picture_of_image(image, words, caption="", shape=""):
    """A `PIL.Image.Image` as a `Picture`.

    Args:
        image: `PIL.Image.Image`.
        words, caption, shape: as in `Picture`.
    """
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(words, source=source, caption=caption, shape=shape)
