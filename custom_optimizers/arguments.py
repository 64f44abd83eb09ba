"""Checks of arguments. Each returns the value, or raises a ValueError that names the argument and what it may be.

Numbers of NumPy are allowed too. They become numbers of Python, so that a config can be written as JSON.
"""

import math
from numbers import Integral, Real


def one_of(owner, name, value, allowed):
    """One of several words."""
    if value not in allowed:
        raise ValueError(f"{owner}: `{name}` must be one of {', '.join(map(repr, allowed))}. Received: {value!r}")
    return value


def positive(owner, name, value):
    """A finite number > 0, as a float."""
    return number_in(owner, name, value, above=0)


def number_in(owner, name, value, *, above=None, least=None, below=None, most=None):
    """A finite number within bounds, as a float; `above` and `below` are not allowed themselves."""
    bounds = {">": above, ">=": least, "<": below, "<=": most}
    holds = is_number(value) and all(
        bound is None or {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}[sign]
        for sign, bound in bounds.items()
    )
    if not holds:
        raise ValueError(
            f"{owner}: `{name}` must be {f'a finite number {_words(bounds)}'.strip()}. Received: {name}={value!r}"
        )
    return float(value)


def _words(bounds):
    """`{">": None, ">=": 0, "<": 1, "<=": None}` as "in [0, 1)"; with one bound ">= 0"."""
    given = {sign: bound for sign, bound in bounds.items() if bound is not None}
    if len(given) == 2:
        (left, low), (right, high) = given.items()
        return f"in {'[' if left == '>=' else '('}{low}, {high}{']' if right == '<=' else ')'}"
    return " and ".join(f"{sign} {bound}" for sign, bound in given.items())


def count(owner, name, value, least=1):
    """A whole number that an int32 has room for, as an int."""
    if not is_whole(value) or not least <= value < 2**31:
        raise ValueError(f"{owner}: `{name}` must be an int >= {least} and < 2**31. Received: {name}={value!r}")
    return int(value)


def flag(owner, name, value):
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: `{name}` must be True or False. Received: {name}={value!r}")
    return value


def is_number(value):
    """Whether a value is a finite number that a float has room for."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an int beyond 1.8e308
        return False


def is_whole(value):
    """Whether a value is a whole number by its type: an int or an integer of NumPy, but neither True nor 2.0."""
    return isinstance(value, Integral) and not isinstance(value, bool)
