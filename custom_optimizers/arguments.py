"""Checks of arguments. Each returns the value, or raises a ValueError that names the argument and what it may be."""

from numbers import Real


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
        raise ValueError(f"{owner}: `{name}` must be a finite number {_words(bounds)}. Received: {name}={value!r}")
    return float(value)


def _words(bounds):
    """`{">": None, ">=": 0, "<": 1, "<=": None}` as "in [0, 1)"; with one bound ">= 0"."""
    given = {sign: bound for sign, bound in bounds.items() if bound is not None}
    if len(given) == 2:
        (left, low), (right, high) = given.items()
        return f"in {'[' if left == '>=' else '('}{low}, {high}{']' if right == '<=' else ')'}"
    return " and ".join(f"{sign} {bound}" for sign, bound in given.items())


def count(owner, name, value, least=1):
    """A whole number that an int32 has room for."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise ValueError(f"{owner}: `{name}` must be an int >= {least} and < 2**31. Received: {name}={value!r}")
    return value


def flag(owner, name, value):
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: `{name}` must be True or False. Received: {name}={value!r}")
    return value


def is_number(value):
    """Whether a value is a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < float("inf")
