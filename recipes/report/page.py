"""An HTML page in a single file: sections of text, commands, pictures with alternative text, and tables."""

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
    """A picture with its alternative text.

    Args:
        words: str, the alternative text: what the picture shows, with numbers.
        svg: str, SVG code; or
        source: str, a data URI of a PNG file.
        caption: str, text below the picture.
        shape: str: "wide" for a whole row, "small" for many in a row, "grid" for large pixels.
    """

    words: str
    svg: str = ""
    source: str = ""
    caption: str = ""
    shape: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: a list of column names, and a list of rows with a cell for each column.

    `folded` is the line that is clicked to see it; empty for one that is always to be seen.
    """

    columns: list
    rows: list
    folded: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, and lists of texts, commands, pictures and tables that stand below it in this order.

    A section without content is the heading of the sections that follow it.
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
