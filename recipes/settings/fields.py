"""The settings of recipes, and the parameters behind a name such as `cosine:end=0.1`: default, range, help and errors.

A recipe declares each of its settings once:

    width: int = whole(256, "units of each hidden layer", most=8192)

and `list`, `show`, `--help`, `tune --space`, `compare` and config.json all read that. Nothing here imports Keras, so
that a wrong value is answered at once.
"""

import dataclasses
import math
import operator
import re
import typing

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

REQUIRED = object()  # stands for a default where there is none
NONE = "none"  # stands on a command line for None, where that may be
MOST = 2**31 - 1  # of whole numbers
NO_EXPRESSION = (re.error, OverflowError, RecursionError)  # what compiling a regular expression may raise
CHANGES = {
    "update": "the weights after an update, or how many updates there are",
    "schedule": "the learning rate of an update",
    "data": "which images or samples there are, in which part, in which order, and how many at once",
    "judgement": "the figures that the trained model is judged by, and which epoch's weights it has",
    "files": "which files a run leaves",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A value that may be given by name.

    Args:
        default: its value unless it is given; `REQUIRED` if there is none.
        help: str, what it is, without its range.
        type: of its values: float, int, str or bool.
        range: str, what it must be, to go behind "must be"; empty for a text of which `help` says what it may be.
        read: function from text, or from a value of `type`, to the value; None where it is out of range.
        changes: str of `CHANGES`, what another value of it changes.
        is_optional: bool, whether it may be None, which stands for a value that others decide.
        of_optimizer: bool, whether it means something else for each optimizer, so that another optimizer takes its own.
        is_searched: bool, whether `tune` may vary it.
        is_length: bool, whether it is a number of updates or, as a float, a share of them.
        names: the words that there are, of a choice; for mistakes in writing.
        moved: words that there were, and the recipes that have them now.
        example: str, a value, for one that is needed.
        before: its value in runs that were written when there was no such setting; `REQUIRED` if there is none.
    """

    default: typing.Any
    help: str
    type: type
    range: str
    read: typing.Callable
    changes: str = "update"
    is_optional: bool = False
    of_optimizer: bool = False
    is_searched: bool = True
    is_length: bool = False
    names: tuple = ()
    moved: dict = dataclasses.field(default_factory=dict)
    example: str = ""
    before: typing.Any = REQUIRED

    def __post_init__(self):
        if self.changes not in CHANGES:
            raise TypeError(f"a setting's `changes` must be one of {', '.join(CHANGES)}; it is {self.changes!r}")

    def checked(self, name, value):
        """A value as it is kept, from text or from a value of its type.

        Args:
            name: str, of the option, such as "--width".

        Raises:
            CommandError: it is none, or out of range.
        """
        if self.is_optional and value in (None, NONE):
            return None
        try:
            found = None if value is None else self.read(value)
        except CommandError as error:
            raise CommandError(f"{name} {written(value)}: {error}") from None
        if found is not None:
            return found
        if self.names and isinstance(value, str):
            check_moved(name, value, self.moved)
            raise CommandError(f"{name}: {unknown(name.lstrip('-').replace('-', ' '), value, self.names)}")
        shown = "empty" if value == "" else written(value)
        raise CommandError(f"{name} must be {self.range or 'a text'}; it is {shown}")

    @property
    def described(self):
        """Its help and its range, as far as there are any."""
        or_none = f"{self.range}, or {NONE}" if self.is_optional and self.range else self.range
        return ": ".join(filter(None, (self.help, or_none)))


def check_moved(option, value, moved):
    """Raise a CommandError if a word is one that another recipe has now."""
    if value in moved:
        raise CommandError(f"{option} {value} is of the recipe {moved[value]} now")


def option_of(name):
    """`"batch_size"` as `"--batch-size"`."""
    return f"--{name.replace('_', '-')}"


def written(value):
    """A value as the command line takes it."""
    if value is None:
        return NONE
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def number(default, help="", *, least=None, most=None, above=None, below=None, **about):
    """A float from `least` to `most`, or above `above` and below `below`, which are not among its values."""
    low, high = (above if least is None else least), (below if most is None else most)

    def read(value):
        found = _float(value)
        inside = (low is None or found > low or found == least) and (high is None or found < high or found == most)
        return found if inside and -math.inf < found < math.inf else None

    return Setting(
        default, help, float, _interval(low, high, least is None, most is None), read, **_with(default, about)
    )


def _interval(low, high, opens, closes):
    if low is None and high is None:
        return "a number"
    if high is None:
        return f"a number {'>' if opens else '>='} {low:g}"
    if low is None:
        return f"a number {'<' if closes else '<='} {high:g}"
    return f"a number in {'(' if opens else '['}{low:g}, {high:g}{')' if closes else ']'}"


def _float(value):
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def whole(default, help="", *, least=1, most=MOST, multiple_of=1, **about):
    """An int from `least` to `most` that is a multiple of `multiple_of`."""

    def read(value):
        found = _int(value)
        return found if found is not None and least <= found <= most and found % multiple_of == 0 else None

    kind = "a whole number" if multiple_of == 1 else f"a multiple of {multiple_of}"
    bounds = f">= {least}" if most == MOST else f"from {least} to {most}"
    return Setting(default, help, int, f"{kind} {bounds}", read, **_with(default, about))


def _int(value):
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"[0-9]{1,20}", value) else None
    try:
        return None if isinstance(value, bool) else operator.index(value)  # NumPy's too
    except TypeError:
        return None


def choice(default, help="", *, names, **about):
    """One of several words."""
    names = _words(names)

    def read(value):
        return value if value in names else None

    return Setting(default, help, str, " or ".join(names), read, names=names, **_with(default, about))


def _words(names):
    """Words as a tuple; a TypeError for one text, which Python would take for its letters."""
    words = (names,) if isinstance(names, str) else tuple(names)
    if words == (names,) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"`names` must be several words, such as ('relu', 'gelu'); they are {names!r}")
    return words


def switch(default, help="", **about):
    """Yes or no."""
    words = {"yes": True, "no": False}

    def read(value):
        return value if isinstance(value, bool) else words.get(value)

    return Setting(default, help, bool, "yes or no", read, **_with(default, about))


def text(default, help="", *, range="", check=None, **about):
    """Words of any kind.

    Args:
        range: str, what it must be.
        check: function that is called with it, and raises a CommandError where it means nothing; None: anything goes.
    """

    def read(value):
        if not isinstance(value, str) or (check is None and not value and default != ""):
            return None
        if check is not None:
            check(value)
        return value

    return Setting(default, help, str, range, read, **_with(default, about))


def several(default, help="", *, names, **about):
    """Several words of those there are with commas between them, each once; or none."""
    names = _words(names)

    def read(value):
        words = [] if value == "none" else str(value).split(",")
        strange = next((word for word in words if word not in names), None)
        if strange is not None:
            raise CommandError(unknown("word", strange, ("none", *names)))
        return value if len(set(words)) == len(words) else None

    return Setting(
        default, help, str, f"none, or of {', '.join(names)}, with commas between", read, **_with(default, about)
    )


def expression(default, help="", **about):
    """A regular expression, as a text."""

    def read(value):
        if not isinstance(value, str):
            return None
        check_expression(value)
        return value

    about = {"range": "a regular expression, such as bias|beta", **about}
    return dataclasses.replace(text(default, help, **about), read=read)


def check_expression(value):
    """Raise a CommandError if a text is no regular expression."""
    try:
        re.compile(value)
    except NO_EXPRESSION as error:
        raise CommandError(f"'{value}' is no regular expression: {error}") from None


def paths(help="", **about):
    """A regular expression for the paths of variables, as a list of it alone; None by default."""

    def read(value):
        try:
            return [re.compile(value).pattern] if value else None
        except NO_EXPRESSION:
            return None

    words = "a regular expression for the paths of variables, such as head/|bias"
    return Setting(None, help, str, words, read, **_with(None, about))


def length(default, help="", *, least=0, **about):
    """A number of updates, an int; or a share of them in [0, 1], a float. With `least` 1, more than none."""

    def read(value):
        count = _int(value)
        if count is not None:
            return count if least <= count <= MOST else None
        share = _float(value)
        return share if 0 <= share <= 1 and (share > 0 or not least) else None

    shares = "[0, 1]" if least == 0 else "(0, 1]"
    words = f"a number of updates, such as 400, or a share in {shares}, such as 0.1"
    return Setting(default, help, float, words, read, is_length=True, **_with(default, about))


def _with(default, about):
    """Whether None may be given is decided by the default."""
    return {"is_optional": default is None, **about}
