"""What may be written behind a name on the command line: `name:key=value,key=value`; a first bare value is the first.

Nothing here imports Keras, so that a wrong value is answered at once.
"""

import dataclasses
import math
import re
import typing

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

REQUIRED = object()  # a default that there is none of


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A value that may be written behind a name."""

    name: str
    default: typing.Any
    range: str  # in words, to go behind "must be"
    read: typing.Callable  # text as a value; None if it is out of range
    is_length: bool = False


def number(name, default, low, high=math.inf, *, above=False, below=False):
    """A number from `low` to `high`, without `low` itself if it has to be `above`, or `high` if `below`."""
    sign = ">" if above else ">="
    words = f"{'(' if above else '['}{low}, {high}{')' if below else ']'}"

    def read(text):
        value = _float(text)
        inside = (low < value if above else low <= value) and (value < high if below else value <= high)
        return value if inside and value < math.inf else None

    return Parameter(name, default, f"a number {sign} {low}" if high == math.inf else f"a number in {words}", read)


def length(name, default, least=0):
    """A number of updates, or a share in [0, 1]; `least` 1 for more than none."""

    def read(text):
        if text.isascii() and text.isdigit():
            return int(text) if least <= int(text) < 2**31 else None
        share = _float(text)
        return share if 0 <= share <= 1 and (share > 0 or not least) else None

    shares = "[0, 1]" if least == 0 else "(0, 1]"
    words = f"a number of updates, such as 400, or a share in {shares}, such as 0.1"
    return Parameter(name, default, words, read, is_length=True)


def choice(name, default, *others):
    """One of several words, the first of which is the default."""
    choices = (default, *others)
    return Parameter(name, default, " or ".join(choices), lambda text: text if text in choices else None)


def _float(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def whole(name, default, least=1):
    """A whole number."""

    def read(text):
        return int(text) if text.isascii() and text.isdigit() and least <= int(text) < 2**31 else None

    return Parameter(name, default, f"a whole number >= {least}", read)


def switch(name, default):
    """Yes or no."""
    return Parameter(name, default, "yes or no", {"yes": True, "no": False}.get)


def paths(name):
    """A regular expression for the paths of variables; none by default."""

    def read(text):
        try:
            return [re.compile(text).pattern] if text else None
        except re.error:
            return None

    return Parameter(name, None, "a regular expression for the paths of variables, such as head/|bias", read)


def written(name, parameters):
    """A name with its parameters and their defaults, as it can be written on the command line."""
    values = ",".join(f"{p.name}={_text(p)}" for p in parameters if p.default is not None)
    return f"{name}:{values}" if values else name


def _text(parameter):
    if parameter.default is REQUIRED:
        return parameter.name.upper()
    words = {"True": "yes", "False": "no"}
    return words.get(str(parameter.default), parameter.default)


def split_parts(text):
    """`"a:1+b"` as `["a:1", "b"]`; the plus of a number such as 1e+3 is no sign of another part."""
    return re.split(r"\+(?=[a-z])", text)


def parse_values(name, known, text, has_own=True):
    """Read what is written behind the colon.

    Args:
        name: str, before the colon.
        known: dict of `Parameter` by their names; the first is that of a first bare value.
        text: str, behind the colon.
        has_own: bool, whether the first parameter is one of the name's own, not one that every name has.

    Returns:
        A dict of the values that are given.

    Raises:
        CommandError: a parameter is not known, given twice or out of its range.
    """
    given = {}
    for position, pair in enumerate(text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals and position == 0:
            key, value = _first_parameter(name, known, has_own), pair
        elif not equals:
            raise CommandError(f"write parameter=value for '{pair}'")
        if key not in known:
            raise CommandError(unknown(f"parameter of {name}", key, known))
        if key in given:
            raise CommandError(f"{key} is given twice")
        given[key] = known[key].read(value)
        if given[key] is None:
            raise CommandError(f"{key} must be {known[key].range}; it is {value or 'empty'}")
    return given


def _first_parameter(name, known, has_own):
    if not has_own or not known:
        there_are = f"there are: {', '.join(known)}" if known else "nothing goes behind it"
        raise CommandError(f"{name} has no parameter of its own; {there_are}")
    return next(iter(known))
