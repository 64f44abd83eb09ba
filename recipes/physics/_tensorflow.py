"""Functions of real numbers on TensorFlow."""

from tensorflow import cos, exp, matmul, sigmoid, sin, tanh

__all__ = ["cos", "exp", "matmul", "sigmoid", "sin", "tanh"]
