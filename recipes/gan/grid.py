import math

import numpy as np
from PIL import Image

ENLARGED = 2  # each pixel becomes a square of this side
GAP, GREY = 2, 64  # width of the gap right of each image and below it, in pixels before enlarging; its grey value


def grid(images, columns=None):
    """Images side by side, with a gap between them.

    Args:
        images: uint8 array `(n, height, width, channels)`, of 1 or 3 channels.
        columns: int; by default as many as rows, or one more.

    Returns:
        A `PIL.Image.Image`, each pixel twice as wide and high.
    """
    n, height, width, channels = images.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = -(-n // columns)
    height, width = height + GAP, width + GAP
    filled = np.full((rows * columns, height, width, channels), GREY, "uint8")
    filled[:n, :-GAP, :-GAP] = images
    tiled = filled.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    whole = tiled.reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(whole[..., 0] if channels == 1 else whole)
    return picture.resize((picture.width * ENLARGED, picture.height * ENLARGED), Image.Resampling.NEAREST)
