"""Functions whose evaluations are counted, for comparisons of what minimises them."""

import math

import numpy as np


class Exhausted(Exception):
    """The function has been evaluated as often as it may be."""


class Counted:
    """A function that gives value and gradient, whose calls are counted.

    `improvements` are the calls whose values were lower than all before: pairs of the call's number, from 1 on, and the
    value.

    Args:
        function: called with an array; returns `(value, gradient)`.
        most: int, calls that are allowed; one more raises `Exhausted`.
    """

    def __init__(self, function, most):
        self._function, self._most = function, most
        self.calls, self.improvements = 0, []

    def __call__(self, x):
        if self.calls >= self._most:
            raise Exhausted
        self.calls += 1
        value, gradient = self._function(x)
        self._note(float(value))
        return float(value), np.asarray(gradient, "float64")

    def _note(self, value):
        lowest = self.improvements[-1][1] if self.improvements else math.inf
        if math.isfinite(value) and value < lowest:
            self.improvements.append((self.calls, value))


def calls_to(level, improvements):
    """After how many calls the value was at most `level`; None if it never was."""
    return next((call for call, value in improvements if value <= level), None)
