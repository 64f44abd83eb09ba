"""Functions of real numbers on torch."""

from torch import cos, exp, matmul, sigmoid, sin, tanh

__all__ = ["cos", "exp", "matmul", "sigmoid", "sin", "tanh"]
