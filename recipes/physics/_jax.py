"""Functions of real numbers on JAX."""

from jax.nn import sigmoid
from jax.numpy import cos, exp, matmul, sin, tanh

__all__ = ["cos", "exp", "matmul", "sigmoid", "sin", "tanh"]
