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
    holds = _is_number(value) and all(
        bound is None or {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}[sign]
        for sign, bound in bounds.items()
    )
    if not holds:
        said = " and ".join(f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None)
        raise ValueError(f"{owner}: `{name}` must be a finite number {said}. Received: {name}={value!r}")
    return float(value)


def count(owner, name, value, least=1):
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{owner}: `{name}` must be an int >= {least}. Received: {name}={value!r}")
    return value


def flag(owner, name, value):
    """True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: `{name}` must be True or False. Received: {name}={value!r}")
    return value


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < float("inf")
