"""The functions of real numbers that series are made of, in the dtype of what they are given.

Keras's own go through float32 in float64 in some places: on JAX sine, cosine and hyperbolic tangent, on torch products
of matrices. A series of seven digits is no solution to eight.
"""

import functools
import importlib

import keras


def numbers(x):
    """The module with `sin`, `cos`, `exp`, `tanh`, `sigmoid` and `matmul` for a tensor.

    Args:
        x: tensor, or a `keras.KerasTensor`, for which they are Keras's own.
    """
    return keras.ops if isinstance(x, keras.KerasTensor) else _of_backend()


@functools.cache
def _of_backend():
    return importlib.import_module(f"recipes.physics._{keras.backend.backend()}")
