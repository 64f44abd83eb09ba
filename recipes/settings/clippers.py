"""The clippers that `--clipping` takes.

    by_global_norm:1.0                  a name and its first parameter
    agc:limit=0.02,exclude=head/        any of its parameters
    centralize+by_global_norm:1.0       one after the other
    none

Names and parameters are looked up without importing Keras, so that a wrong one is answered at once.
"""

import dataclasses

from recipes.errors import CommandError
from recipes.settings.nearest import unknown
from recipes.settings.parameters import REQUIRED, choice, number, parse_values, paths, split_parts, whole, written


@dataclasses.dataclass(frozen=True)
class Named:
    """A clipper that has a name.

    Args:
        cls: str, its class in `custom_optimizers.clipping`.
        text: str, what it does.
        parameters: of the class, tuple of `Parameter`.
        of_keras: str, the argument of Keras's optimizers that does the same; None if there is none.
    """

    cls: str
    text: str
    parameters: tuple = ()
    of_keras: str | None = None


_LIMIT = number("limit", REQUIRED, 0, above=True)
_EPS = number("eps", 1e-8, 0, above=True)
CLIPPERS = {
    "by_value": Named("ByValue", "every entry to an interval", (_LIMIT,), "clipvalue"),
    "by_norm": Named("ByNorm", "each variable to a norm", (_LIMIT,), "clipnorm"),
    "by_global_norm": Named("ByGlobalNorm", "all variables together to a norm", (_LIMIT,), "global_clipnorm"),
    "by_block_rms": Named("ByBlockRMS", "each variable to a root mean square of its entries", (_LIMIT,)),
    "agc": Named(
        "AGC",
        "each unit to a share of the norm of its weights; exclude=REGEX leaves paths out",
        (number("limit", 0.01, 0, above=True), number("eps", 1e-3, 0, above=True), paths("exclude")),
    ),
    "auto_clip": Named(
        "AutoClip",
        "all together to a percentile of the norms so far",
        (number("percentile", 10.0, 0, 100), whole("window", 1000)),
    ),
    "z_clip": Named(
        "ZClip",
        "norms that stand out from those before",
        (
            number("threshold", 2.5, 0, above=True),
            number("decay", 0.97, 0, 1, below=True),
            whole("warmup", 25),
            number("eps", 1e-6, 0, above=True),
        ),
    ),
    "ada_gc": Named(
        "AdaGC",
        "each variable to a multiple of the moving average of its norms",
        (
            number("absolute", 1.0, 0, above=True),
            number("relative", 1.05, 0, above=True),
            number("decay", 0.98, 0, 1, below=True),
            whole("warmup", 100),
        ),
    ),
    "normalize": Named("Normalize", "to norm 1, small ones too", (choice("per", "model", "variable"), _EPS)),
    "soft": Named("Soft", "all together smoothly, to a norm below the limit", (_LIMIT,)),
    "centralize": Named("Centralize", "takes the mean out of each unit; bounds nothing"),
}


def parse_clipping(text):
    """`"centralize+by_global_norm:1.0"` as a list of `(name, values)`; `"none"` as an empty one.

    Raises:
        CommandError: there is no such clipper or parameter, or a value is out of its range.
    """
    if text == "none":
        return []
    try:
        return [_parse_one(part) for part in split_parts(text)]
    except CommandError as error:
        raise CommandError(f"--clipping {text}: {error}") from None


def _parse_one(text):
    name, colon, values = text.partition(":")
    if name not in CLIPPERS:
        raise CommandError(unknown("clipper", name, CLIPPERS))
    known = {parameter.name: parameter for parameter in CLIPPERS[name].parameters}
    given = parse_values(name, known, values) if colon else {}
    for key, parameter in known.items():
        if parameter.default is REQUIRED and key not in given:
            raise CommandError(f"write {parameter.range} behind the name, such as {name}:1.0")
    return name, given


def make_clippers(text):
    """The clippers of `custom_optimizers.clipping` that `parse_clipping` reads, a list."""
    from custom_optimizers import clipping

    return [getattr(clipping, CLIPPERS[name].cls)(**values) for name, values in parse_clipping(text)]


def arguments_of_keras(text):
    """The arguments of an optimizer of Keras that clip so, a dict; None if Keras has none that do."""
    clippers = parse_clipping(text)
    if len(clippers) > 1 or any(CLIPPERS[name].of_keras is None for name, _ in clippers):
        return None
    return {CLIPPERS[name].of_keras: values["limit"] for name, values in clippers}


def clipper_entries():
    """Every clipper: `(its name and its parameters with their defaults, what it does)`."""
    for name, named in CLIPPERS.items():
        yield written(name, named.parameters), named.text
