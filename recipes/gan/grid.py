import math

import numpy as np
from PIL import Image

ENLARGED = 2  # each pixel becomes a square of this side
GAP, GREY = 2, 64  # width of the gap right of each image and below it, in pixels before enlarging; its grey value


def whole_rows(count, columns=None):
    """The number of images next to `count` that fills all rows of a grid; one row at least.

    Args:
        count: int >= 1.
        columns: int >= 1, or None, as in `grid`.
    """
    return count if columns is None else max(round(count / columns), 1) * columns


def some_of_each(x, y, count, classes=0):
    """Images to stand beside generated ones, always the same.

    Args:
        x: array of images `(n, …)`.
        y: int array `(n,)`, their labels.
        count: int >= 1, how many; of fewer images some come again.
        classes: int, each of which has its turn, as in `GAN.generate`; 0 for images of any.
    """
    order = np.random.default_rng(0).permutation(len(y))
    if not classes:
        return x[np.resize(order, count)]
    turns, rows = -(-count // classes), np.empty(count, int)
    for label in range(classes):
        mine = order[y[order] == label]
        rows[label::classes] = np.resize(mine if len(mine) else order, turns)[: len(rows[label::classes])]
    return x[rows]


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
