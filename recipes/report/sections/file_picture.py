from recipes import run as runs
from recipes.report.page import picture_of_image


def file_picture(path, words, caption, shape=""):
    """A picture file as a `recipes.report.page.Picture`.

    Args:
        path: `pathlib.Path`.
        words, caption, shape: as in `Picture`.

    Raises:
        WorldError: the file is damaged.
    """
    return picture_of_image(runs.read_picture(path), words, caption, shape)
