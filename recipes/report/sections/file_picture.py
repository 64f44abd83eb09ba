from PIL import Image

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.report.page import pixels


def file_picture(path, words, caption, shape=""):
    """A picture file as a `recipes.report.page.Picture`.

    Args:
        path: `pathlib.Path`.
        words, caption, shape: as in `Picture`.

    Raises:
        WorldError: the file is damaged.
    """
    try:
        with open_regular(path) as file, Image.open(file) as image:
            image.load()
            return pixels(image, words, caption, shape)
    except Exception as error:  # whatever Pillow makes of a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error
