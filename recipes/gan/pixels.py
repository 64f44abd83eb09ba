"""Images as networks take them, in -1 to 1, and as files hold them, in 0 to 255."""

import keras
import numpy as np
from keras import ops


def as_numbers(images):
    """Images as float32 in -1 to 1. Images that are not uint8 must be in -1 to 1 already."""
    if keras.backend.standardize_dtype(images.dtype) == "uint8":
        return ops.cast(images, "float32") / 127.5 - 1
    return ops.cast(images, "float32")


def as_pixels(images):
    """Images in -1 to 1 as uint8, rounded."""
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype("uint8")
