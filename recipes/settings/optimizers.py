"""The optimizers that a command line can name: ours and Keras's.

    momentum                            a name
    muon:others=momentum                with parameters
    accumulate:adam                     around an optimizer of Keras
    lookahead:momentum,sync_period=10

Names are looked up without importing Keras, so that a wrong one is answered at once.
"""

import dataclasses
import re

from recipes.errors import CommandError
from recipes.settings.clippers import arguments_of_keras, make_clippers
from recipes.settings.nearest import unknown
from recipes.settings.parameters import REQUIRED, Parameter, choice, number, parse_values, paths, switch, whole, written


@dataclasses.dataclass(frozen=True)
class Named:
    """An optimizer of this package that has a name.

    Args:
        cls: str, its class in `custom_optimizers`.
        text: str, what it does.
        parameters: of the class, tuple of `Parameter`, without those that are options of their own.
        preset: str, of `BatchGD`; None for the class itself.
        momentum: pair of floats, between which its momentum lies; None if it has none.
        wraps: bool, whether its first parameter is the name of another optimizer.
    """

    cls: str
    text: str
    parameters: tuple = ()
    preset: str | None = None
    momentum: tuple | None = None
    wraps: bool = False


_INNER = Parameter("inner", REQUIRED, "the name of an optimizer, such as adam", lambda text: text or None)
_VELOCITY = choice("velocity", "keras", "torch")
_UNIT = 0.0, 1.0
OURS = {
    "batch_gd": Named(
        "BatchGD", "gradient descent, with --momentum if given", (_VELOCITY, switch("nesterov", False)), momentum=_UNIT
    ),
    "momentum": Named("BatchGD", "batch_gd with momentum 0.9", (_VELOCITY,), preset="momentum", momentum=_UNIT),
    "nesterov": Named("BatchGD", "batch_gd with Nesterov momentum 0.9", (_VELOCITY,), "nesterov", momentum=_UNIT),
    "quasi_hyperbolic": Named(
        "QuasiHyperbolic", "an average of descent and momentum", (number("nu", 0.7, 0, 1),), momentum=_UNIT
    ),
    "aggregated_momentum": Named("AggregatedMomentum", "the mean of velocities of momentum 0, 0.9 and 0.99"),
    "accelerated_gd": Named("AcceleratedGD", "Nesterov 1983, with restarts: no momentum to tune; full batches only"),
    "normalized_gd": Named(
        "NormalizedGD", "momentum with steps of one length", (choice("per", "model", "variable"),), momentum=_UNIT
    ),
    "sign_momentum": Named("SignMomentum", "the sign of the momentum", momentum=_UNIT),
    "optimistic_gd": Named(
        "OptimisticGD", "descent ahead of the gradient, for games", (number("optimism", 1.0, 0),), momentum=(-1.0, 1.0)
    ),
    "muon": Named(
        "Muon",
        "orthogonal steps for kernels of dense layers and convolutions; exclude=REGEX leaves paths to others",
        (
            choice("size", "rms", "spectral", "none"),
            choice("others", "adam", "momentum"),
            switch("nesterov", True),
            whole("ns_steps", 5),
            choice("ns_dtype", "float32", "bfloat16"),
            paths("exclude"),
        ),
        momentum=_UNIT,
    ),
    "accumulate": Named("Accumulate", "full batches for any optimizer of Keras", (_INNER,), wraps=True),
    "lookahead": Named(
        "Lookahead",
        "slow weights that follow any optimizer",
        (_INNER, whole("sync_period", 5), number("slow_step_size", 0.5, 0, 1, above=True)),
        wraps=True,
    ),
}
_OF_KERAS = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
)
_KERAS_WITH_MOMENTUM = ("Muon", "RMSprop", "SGD")
_BETAS = (number("beta_1", 0.9, 0, 1), number("beta_2", 0.999, 0, 1))
_PARAMETERS_OF_KERAS = {"adam": _BETAS, "adamw": _BETAS, "adamax": _BETAS, "nadam": _BETAS}


def snake_case(name):
    """`BatchGD` as `batch_gd`, `RMSprop` as `rmsprop`, `AdamW` as `adamw`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][A-Za-z])", "_", name).lower()


KERAS = {f"keras_{n}" if (n := snake_case(cls)) in OURS else n: cls for cls in _OF_KERAS}  # names and classes
_CLASSES = {named.cls: name for name, named in OURS.items() if named.preset is None}
_CLASSES = {cls: name for name, cls in KERAS.items()} | _CLASSES
_NAMES = {cls.lower(): name for cls, name in _CLASSES.items()} | _CLASSES | {name: name for name in (*OURS, *KERAS)}


@dataclasses.dataclass(frozen=True)
class Chosen:
    """An optimizer as the command line names it: a key of `OURS` or `KERAS`, parameters, and what it wraps."""

    name: str
    values: dict = dataclasses.field(default_factory=dict)
    inner: "Chosen | None" = None

    @property
    def is_ours(self):
        return self.name in OURS

    @property
    def momentum(self):
        """The pair of floats between which its momentum lies; None if it has none."""
        if self.inner is not None:
            return self.inner.momentum
        if self.is_ours:
            return OURS[self.name].momentum
        return _UNIT if KERAS[self.name] in _KERAS_WITH_MOMENTUM else None


def parse_optimizer(text):
    """`"muon:others=momentum"` as `Chosen`.

    Raises:
        CommandError: there is no such optimizer or parameter, or a value is out of its range.
    """
    try:
        return _parse(text)
    except CommandError as error:
        raise CommandError(f"--optimizer {text}: {error}") from None


def _parse(text, wrapped=False):
    written_name, colon, given = text.partition(":")
    name = _NAMES.get(written_name)
    if name is None:
        raise CommandError(unknown("optimizer", written_name, [*OURS, *KERAS]))
    of_name = OURS[name].parameters if name in OURS else _PARAMETERS_OF_KERAS.get(name, ())
    known = {parameter.name: parameter for parameter in of_name}
    values = parse_values(name, known, given, has_own=bool(known)) if colon else {}
    if name not in OURS or not OURS[name].wraps:
        return Chosen(name, values)
    if wrapped:
        raise CommandError(f"{name} wraps an optimizer, and cannot be wrapped")
    if "inner" not in values:
        raise CommandError(f"write the name of an optimizer behind it, such as {name}:adam")
    return Chosen(name, values, _parse(values.pop("inner"), wrapped=True))


def check_momentum(text, momentum):
    """Raise a CommandError if an optimizer is given a momentum that it cannot have."""
    if momentum is None:
        return
    bounds = parse_optimizer(text).momentum
    if bounds is None:
        raise CommandError(f"--momentum: {text} has no momentum")
    low, high = bounds
    if not low <= momentum <= high:
        raise CommandError(f"--momentum must lie in {low:g} to {high:g}; it is {momentum}")


def default_momentum(text):
    """The momentum that recipes give an optimizer that has 0 by itself; None for the optimizer's own."""
    chosen = parse_optimizer(text)
    return 0.9 if (chosen.inner or chosen).name in ("batch_gd", "sgd") else None


def accumulated_steps(text, steps):
    """How many batches are behind an update, an int or "epoch", where `steps` may say "auto"."""
    if steps == "auto":
        return "epoch" if parse_optimizer(text).is_ours else 1
    return steps if steps == "epoch" else int(steps)


def needs_full_batches(text):
    """Whether an optimizer cannot make updates of less than a pass."""
    chosen = parse_optimizer(text)
    return "accelerated_gd" in (chosen.name, chosen.inner and chosen.inner.name)


def check_steps(text, steps):
    """Raise a CommandError if an optimizer cannot make an update of so many batches."""
    option = f"--gradient-accumulation-steps {steps}"
    is_count = steps.isascii() and steps.isdigit() and 0 < int(steps) < 2**31
    if steps not in ("auto", "epoch") and not is_count:
        raise CommandError(f"{option}: write a number of batches >= 1, epoch or auto")
    if steps == "epoch" and not parse_optimizer(text).is_ours:
        raise CommandError(f"{option}: {text} makes mini-batches; accumulate:{text} makes full batches")
    if steps not in ("auto", "epoch") and needs_full_batches(text):
        raise CommandError(f"{option}: accelerated_gd needs full batches")


def parse_multipliers(text):
    """`"beta$=64,dense/=2"` as a dict from regular expressions to numbers; an empty one without a text.

    Raises:
        CommandError: an expression is none, or a number is out of its range.
    """
    multipliers = {}
    for pair in text.split(",") if text else ():
        pattern, equals, factor = pair.rpartition("=")
        value = number("factor", 1.0, 0).read(factor)
        if not (equals and pattern):
            raise CommandError(f"--learning-rate-multipliers: write expression=number for '{pair}'")
        if value is None:
            raise CommandError(
                f"--learning-rate-multipliers: {pattern} must be a number >= 0; it is {factor or 'empty'}"
            )
        check_expression("--learning-rate-multipliers", pattern)
        multipliers[pattern] = value
    return multipliers


def check_expression(option, text):
    """Raise a CommandError if an option is no regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise CommandError(f"{option}: '{text}' is no regular expression: {error}") from None


def make(text, *, learning_rate, momentum, clipping, weight_decay=None, **options):
    """Build an optimizer; under the policy mixed_float16, within a `LossScaleOptimizer`.

    Args:
        text: str, as `parse_optimizer` takes it.
        learning_rate: float, or a `keras.optimizers.schedules.LearningRateSchedule`.
        momentum: float, or None for the optimizer's own default.
        clipping: str, as `recipes.settings.clippers.parse_clipping` takes it.
        weight_decay: float, or None for the optimizer's own default.
        options: arguments of `custom_optimizers.Descent`, None for its default. An optimizer of Keras gets by
            `custom_optimizers.Accumulate` what it has not by itself.
    """
    import keras

    from custom_optimizers import Accumulate

    chosen = parse_optimizer(text)
    options = {name: value for name, value in options.items() if value is not None}
    of_keras = None if chosen.is_ours or options else arguments_of_keras(clipping)
    clippers = make_clippers(clipping)
    given = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        if chosen.is_ours:
            made = _make(chosen, given, clipping=clippers or None, **options)
        elif of_keras is not None:
            made = _make(chosen, given, **of_keras)
        else:
            made = Accumulate(_make(chosen, given), clipping=clippers or None, **options)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if keras.config.dtype_policy().name == "mixed_float16":
        # Keras would do it in `compile`, and forget it in the saved model.
        return keras.optimizers.LossScaleOptimizer(made)
    return made


def build(model):
    """Build a compiled model's optimizer now: a CommandError if an expression matches none of its variables."""
    try:
        model.optimizer.build(model.trainable_variables)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _make(chosen, given, **options):
    """An optimizer with what it is given, or the optimizer that it wraps; the options are those of the outer one."""
    import keras

    import custom_optimizers

    if not chosen.is_ours:
        return getattr(keras.optimizers, KERAS[chosen.name])(**given, **chosen.values, **options)
    named = OURS[chosen.name]
    cls = getattr(custom_optimizers, named.cls)
    if chosen.inner is not None:
        alone = {"gradient_accumulation_steps": None} if chosen.inner.name == "accelerated_gd" else {}
        return cls(_make(chosen.inner, given, **alone), **chosen.values, **options)
    if named.preset is not None:
        return cls.from_preset(named.preset, **given, **chosen.values, **options)
    return cls(**given, **chosen.values, **options)


def optimizer_entries():
    """Every optimizer: `(its name and its parameters with their defaults, what it does)`."""
    for name, named in OURS.items():
        yield written(name, named.parameters), named.text
    for name, cls in KERAS.items():
        yield written(name, _PARAMETERS_OF_KERAS.get(name, ())), f"keras.optimizers.{cls}, in mini-batches"
