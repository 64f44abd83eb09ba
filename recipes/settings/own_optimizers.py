"""The optimizers of this package that a command line can name, with their parameters.

Names are looked up here, without importing Keras; `recipes.settings.optimizers` reads what is written with them.
"""

import dataclasses

from recipes.errors import CommandError
from recipes.settings import fields, line_searches
from recipes.settings.fields import REQUIRED, choice, number, paths, switch, whole
from recipes.settings.nearest import spelled, unknown


@dataclasses.dataclass(frozen=True)
class Named:
    """An optimizer of this package that has a name.

    Args:
        cls: str, its class in `custom_optimizers`.
        text: str, what it does.
        parameters: of the class, a dict from names to `recipes.settings.fields.Setting`, without those that are options
            of their own.
        preset: str, of `BatchGD`; None for the class itself.
        momentum: pair of floats, between which its momentum lies; None if it has none.
        wraps: bool, whether its first parameter is the name of another optimizer.
        searches: bool, whether a line search finds its steps, also where no parameter says which.
    """

    cls: str
    text: str
    parameters: dict = dataclasses.field(default_factory=dict)
    preset: str | None = None
    momentum: tuple | None = None
    wraps: bool = False
    searches: bool = False


_INNER = {"inner": fields.text(REQUIRED, range="the name of an optimizer", example="adam")}
_VELOCITY = {"velocity": choice("keras", names=("keras", "torch"))}
UNIT = 0.0, 1.0  # between which most momenta lie
_DENSE = {"line_search": line_searches.named("strong_wolfe"), "max_parameters": whole(10_000)}
_BETAS_OF_CG = ("polak_ribiere_plus", "fletcher_reeves", "hestenes_stiefel", "dai_yuan", "hager_zhang")
OURS = {
    "batch_gd": Named(
        "BatchGD",
        "gradient descent, with --momentum or --line-search if given",
        {**_VELOCITY, "nesterov": switch(False), "line_search": line_searches.named(None)},
        momentum=UNIT,
    ),
    "lbfgs": Named(
        "LBFGS",
        "quasi-Newton steps whose length a line search finds: no learning rate; full batches only",
        {"history": whole(10), "line_search": line_searches.named("strong_wolfe")},
        searches=True,
    ),
    "bfgs": Named(
        "BFGS", "lbfgs with a whole matrix, for up to max_parameters weights; full batches only", _DENSE, searches=True
    ),
    "self_scaled_broyden": Named(
        "SelfScaledBroyden",
        "bfgs with a matrix that is scaled at each update, for networks that solve equations",
        _DENSE,
        searches=True,
    ),
    "nonlinear_cg": Named(
        "NonlinearCG",
        "conjugate gradients with a line search: four vectors in memory; full batches only",
        {"beta": choice(_BETAS_OF_CG[0], names=_BETAS_OF_CG), "line_search": line_searches.named(None)},
        searches=True,
    ),
    "momentum": Named("BatchGD", "batch_gd with momentum 0.9", _VELOCITY, preset="momentum", momentum=UNIT),
    "nesterov": Named("BatchGD", "batch_gd with Nesterov momentum 0.9", _VELOCITY, "nesterov", momentum=UNIT),
    "quasi_hyperbolic": Named(
        "QuasiHyperbolic", "an average of descent and momentum", {"nu": number(0.7, least=0, most=1)}, momentum=UNIT
    ),
    "aggregated_momentum": Named("AggregatedMomentum", "the mean of velocities of momentum 0, 0.9 and 0.99"),
    "accelerated_gd": Named("AcceleratedGD", "Nesterov 1983, with restarts: no momentum to tune; full batches only"),
    "normalized_gd": Named(
        "NormalizedGD",
        "momentum with steps of one length",
        {"per": choice("model", names=("model", "variable"))},
        momentum=UNIT,
    ),
    "sign_momentum": Named("SignMomentum", "the sign of the momentum", momentum=UNIT),
    "optimistic_gd": Named(
        "OptimisticGD",
        "descent ahead of the gradient, for games",
        {"optimism": number(1.0, least=0)},
        momentum=(-1.0, 1.0),
    ),
    "muon": Named(
        "Muon",
        "orthogonal steps for kernels of dense layers and convolutions; exclude=REGEX leaves paths to others",
        {
            "size": choice("rms", names=("rms", "spectral", "none")),
            "others": choice("adam", names=("adam", "momentum")),
            "nesterov": switch(True),
            "ns_steps": whole(5),
            "ns_dtype": choice("float32", names=("float32", "bfloat16")),
            "exclude": paths(),
        },
        momentum=UNIT,
    ),
    "accumulate": Named("Accumulate", "full batches for any optimizer of Keras", _INNER, wraps=True),
    "lookahead": Named(
        "Lookahead",
        "slow weights that follow any optimizer",
        {**_INNER, "sync_period": whole(5), "slow_step_size": number(0.5, above=0, most=1)},
        wraps=True,
    ),
}
_THEN = [name for name, named in OURS.items() if named.searches]


def _then(default):
    """A parameter: one of `_THEN`, however it is written."""

    def read(value):
        found = spelled(value, _THEN)
        if found is None:
            raise CommandError(unknown("optimizer with a search of its own", value, _THEN))
        return found

    return dataclasses.replace(fields.text(default), read=read)


OURS["switch"] = Named(
    "Switch",
    "one optimizer for `after` updates, or until `patience` of them had no lower loss, and then one that searches",
    {
        **_INNER,
        "then": _then(_THEN[0]),
        "after": whole(100, is_optional=True),
        "patience": whole(None),
        "min_delta": number(0.0, least=0),
    },
    wraps=True,
)
