"""Images as networks compute with them, and as files have them."""

import keras
import numpy as np
from keras import ops


def as_numbers(images):
    """uint8 images as float32 in -1 to 1; others as they are."""
    if keras.backend.standardize_dtype(images.dtype) == "uint8":
        return ops.cast(images, "float32") / 127.5 - 1
    return ops.cast(images, "float32")


def as_pixels(images):
    """Images in -1 to 1 as uint8, rounded."""
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype("uint8")
