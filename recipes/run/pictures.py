"""Pictures in the directory of a run; some are made again and again while it trains: TAG/epoch-0001.png."""

import re

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular


def name_of_picture(tag, epoch):
    """The name of a picture that was made after an epoch.

    Args:
        tag: str, what the picture shows.
        epoch: int, counted from 0.
    """
    return f"{tag}/epoch-{epoch + 1:04}.png"


def pictures_of(directory, tag):
    """The pictures of a tag: a dict from the number of epochs trained until then to the path, ascending."""
    found = [(re.fullmatch(r"epoch-(\d+)", path.stem), path) for path in (directory / tag).glob("epoch-*.png")]
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def read_picture(path):
    """A picture file as a `PIL.Image.Image`.

    Raises:
        WorldError: the file is damaged.
    """
    from PIL import Image

    try:
        with open_regular(path) as file, Image.open(file) as image:
            image.load()
            return image.copy()
    except Exception as error:  # Pillow raises many kinds for a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error
