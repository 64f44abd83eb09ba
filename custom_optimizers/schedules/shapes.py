"""Functions that fall from 1 to 0 as `z` goes from 0 to 1, and are constant on either side."""

import math

from keras import ops


def linear(z):
    return 1 - ops.clip(z, 0.0, 1.0)


def cosine(z):
    return 0.5 * (1 + ops.cos(math.pi * ops.clip(z, 0.0, 1.0)))


def one_minus_sqrt(z):
    return 1 - ops.sqrt(ops.clip(z, 0.0, 1.0))


SHAPES = {"linear": linear, "cosine": cosine, "1-sqrt": one_minus_sqrt}


def between(first, last, fall):
    """A value that goes from `first` to `last` as `fall` goes from 1 to 0."""
    return last + (first - last) * fall
