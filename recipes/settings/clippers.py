"""The clippers that `--clipping` takes.

    by_global_norm:1.0                  a name and its first parameter
    agc:limit=0.02,exclude=head/        any of its parameters
    centralize+by_global_norm:1.0       one after the other
    none

`recipes.optimization.make_clippers` makes them; names and parameters are looked up here, without importing Keras.
"""

import dataclasses

from recipes.errors import CommandError
from recipes.settings import fields, grammar
from recipes.settings.fields import REQUIRED, choice, number, paths, whole
from recipes.settings.nearest import plain, spelled, unknown


@dataclasses.dataclass(frozen=True)
class Named:
    """A clipper that has a name.

    Args:
        cls: str, its class in `custom_optimizers.clipping`.
        text: str, what it does.
        parameters: of the class, a dict from names to `recipes.settings.fields.Setting`.
        of_keras: str, the argument of Keras's optimizers that does the same; None if there is none.
    """

    cls: str
    text: str
    parameters: dict = dataclasses.field(default_factory=dict)
    of_keras: str | None = None


_LIMIT = {"limit": number(REQUIRED, above=0, example="1.0")}
_SHARE = {"least": 0, "below": 1}
CLIPPERS = {
    "by_value": Named("ByValue", "every entry to an interval", _LIMIT, "clipvalue"),
    "by_norm": Named("ByNorm", "each variable to a norm", _LIMIT, "clipnorm"),
    "by_global_norm": Named("ByGlobalNorm", "all variables together to a norm", _LIMIT, "global_clipnorm"),
    "by_block_rms": Named("ByBlockRMS", "each variable to a root mean square of its entries", _LIMIT),
    "agc": Named(
        "AGC",
        "each unit to a share of the norm of its weights; exclude=REGEX leaves paths out",
        {"limit": number(0.01, above=0), "eps": number(1e-3, above=0), "exclude": paths()},
    ),
    "auto_clip": Named(
        "AutoClip",
        "all together to a percentile of the norms so far",
        {"percentile": number(10.0, least=0, most=100), "window": whole(1000)},
    ),
    "z_clip": Named(
        "ZClip",
        "norms that stand out from those before",
        {
            "threshold": number(2.5, above=0),
            "decay": number(0.97, **_SHARE),
            "warmup": whole(25),
            "eps": number(1e-6, above=0),
        },
    ),
    "ada_gc": Named(
        "AdaGC",
        "each variable to a multiple of the moving average of its norms",
        {
            "absolute": number(1.0, above=0),
            "relative": number(1.05, above=0),
            "decay": number(0.98, **_SHARE),
            "warmup": whole(100),
        },
    ),
    "normalize": Named(
        "Normalize",
        "to norm 1, small ones too",
        {"per": choice("model", names=("model", "variable")), "eps": number(1e-8, above=0)},
    ),
    "soft": Named("Soft", "all together smoothly, to a norm below the limit", _LIMIT),
    "centralize": Named("Centralize", "takes the mean out of each unit; bounds nothing"),
}


def clipping(default, help="none, or what list --clippers has, such as by_global_norm:C", **about):
    """A field of a recipe: what bounds its gradients, as `parse_clipping` takes it."""
    return fields.text(default, help, check=parse_clipping, **about)


def parse_clipping(text):
    """`"centralize+by_global_norm:1.0"` as a list of `(name, values)`; `"none"` as an empty one.

    Raises:
        CommandError: there is no such clipper or parameter, or a value is out of its range.
    """
    return [] if plain(text) == "none" else [_parse_one(part) for part in grammar.chain(text)]


def _parse_one(text):
    written, pairs = grammar.value(text)
    name = spelled(written, CLIPPERS)
    if name is None:
        raise CommandError(unknown("clipper", written, CLIPPERS))
    return name, grammar.pairs(name, CLIPPERS[name].parameters, pairs)


def clipper_entries():
    """Every clipper: `(its name and its parameters with their defaults, what it does)`."""
    for name, named in CLIPPERS.items():
        yield grammar.written(name, named.parameters), named.text
