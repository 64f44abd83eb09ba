import typing

import numpy as np


class Images(typing.NamedTuple):
    """A set of labelled images in three parts.

    Each part is `(x, y)`: uint8 `(n, height, width, channels)` and int32 `(n,)`.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
