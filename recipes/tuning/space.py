"""What `--space` takes: the settings that a search varies, and between which values.

    learning_rate                       between bounds from a range test
    learning_rate=0.01:1                from 0.01 to 1; by powers if it spans a factor of 10
    schedule                            the families below, each with its own parameters
    schedule=cosine|linear:warmup=0.1   of these; one with parameters stays as it is written
    batch_size=64|128                   any setting of the recipe: one of several values
    schedule,momentum,clipping          several at once

Nothing here imports Keras: a wrong space is answered at once. `declare` works on any `HyperParameters`.
"""

import contextlib
import dataclasses
import itertools
import math
import typing

from recipes.errors import CommandError
from recipes.settings.clippers import CLIPPERS
from recipes.settings.nearest import unknown
from recipes.settings.optimizers import KERAS, default_momentum, parse_optimizer
from recipes.settings.schedules import SCHEDULES

FIXED = ("data", "epochs", "seed", "train_images", "validation_split", "early_stopping", "keep", "loss")
ADAPTIVE_RATES, RATES = (1e-4, 1e-2), (1e-3, 1.0)  # between which rates lie that no test has found
DESCENT = "batch_gd"  # the optimizer of a recipe that has no other
DIGITS = 4  # significant ones of a number, so that it can be written on a command line and is the same then


@dataclasses.dataclass(frozen=True)
class Between:
    """A number from `low` to `high`; by powers if `log`, and whole if `whole`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self):
        return self.low, self.high


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of several values."""

    values: tuple

    @property
    def ends(self):
        return self.values


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a search has to know of the machine and the data.

    Args:
        rates: dict from an optimizer, as `--optimizer` takes it, to the lowest and highest learning rate.
        updates: int, of the shortest trial; the warm-up of a schedule that goes on from rung to rung is shorter.
    """

    rates: dict = dataclasses.field(default_factory=dict)
    updates: int = 100


_END = OneOf((0.0, 0.01, 0.07))  # of the highest rate
_WARMUP = "warmup", Between(0.0, 0.1)
FAMILIES = {  # parameters by schedule, as `recipes.settings.schedules` has them
    "constant": (),
    "step": (("factor", Between(0.05, 0.5, log=True)), ("every", Between(0.2, 0.6)), _WARMUP),
    "exponential": (("end", Between(1e-4, 0.1, log=True)), _WARMUP),
    "linear": (("end", _END), _WARMUP),
    "cosine": (("end", _END), _WARMUP),
    "one_cycle": (
        ("rise", Between(0.1, 0.5)),
        ("div_factor", Between(5.0, 50.0, log=True)),
        ("final_div_factor", Between(10.0, 1e4, log=True)),
    ),
    "warmup_stable_decay": (("decay", Between(0.1, 0.5)), ("shape", OneOf(("1-sqrt", "cosine", "linear")))),
    "rex": (_WARMUP,),
}
CLIPPINGS = {  # the bound by clipper
    "none": None,
    "by_global_norm": Between(0.1, 10.0, log=True),
    "agc": Between(0.003, 0.3, log=True),
}
DEFAULTS = {
    "schedule": OneOf(tuple(FAMILIES)),
    "learning_rate": None,  # from a range test
    "optimizer": OneOf(("momentum", "nesterov", "muon", "adamw")),
    "momentum": OneOf((0.0, 0.5, 0.8, 0.9, 0.95, 0.98)),
    "clipping": OneOf(tuple(CLIPPINGS)),
    "batch_size": OneOf((32, 64, 128, 256)),
    "weight_decay": Between(1e-5, 1e-1, log=True),
    "label_smoothing": Between(0.0, 0.3),
}
ORDER = ("optimizer", "schedule")  # what others depend on comes first
SEARCHED = ("schedule", "learning_rate", "momentum", "clipping")  # unless --space is given


def usual_space(settings):
    """Names of what is searched unless --space is given, of a recipe's `Settings`."""
    names = [name for name in SEARCHED if hasattr(settings, name)]
    has_momentum = parse_optimizer(getattr(settings, "optimizer", DESCENT)).momentum is not None
    return [name for name in names if name != "momentum" or has_momentum]


def parse_space(texts, recipe):
    """Read the space of a search.

    Args:
        texts: list of str, as the first lines of this file have them.
        recipe: module of a recipe.

    Returns:
        A dict from settings to `Between`, `OneOf` or, for learning rates that are to be tested, None.

    Raises:
        CommandError: it is empty, or something in it cannot be searched.
    """
    fields = {field.name: field for field in dataclasses.fields(recipe.Settings)}
    space = {}
    for part in _parts(texts, fields):
        name, equals, values = (word.strip() for word in part.partition("="))
        if name not in fields:
            raise CommandError(f"--space: {unknown('setting', name, [f for f in fields if f not in FIXED])}")
        if name in FIXED:
            raise CommandError(f"--space: {name} is the same in all trials; {_instead(name)}")
        if name in space:
            raise CommandError(f"--space: {name} is given twice")
        if not equals and name not in DEFAULTS:
            raise CommandError(f"--space: say between which values {name} lies: {name}=LOW:HIGH or {name}=A|B")
        space[name] = _axis(fields[name], values) if equals else DEFAULTS[name]
    if not space:
        raise CommandError("--space is empty; such as --space schedule,learning_rate")
    return {name: space[name] for name in sorted(space, key=lambda n: (n not in ORDER, list(space).index(n)))}


def _parts(texts, fields):
    """The parts between commas, except commas between parameters: `cosine:end=0.1,warmup=0.2`."""
    parts = []
    for word in (word for text in texts for word in text.split(",") if word.strip()):
        name, is_in_text = word.partition("=")[0].strip(), parts and _takes_parameters(parts[-1], fields)
        if is_in_text and "=" in word and name not in fields:
            parts[-1] += "," + word
        else:
            parts.append(word)
    return parts


def _takes_parameters(part, fields):
    """Whether a part ends with a text that may go on: `schedule=linear|cosine:end=0.1`."""
    name, _, values = part.partition("=")
    field = fields.get(name.strip())
    return field is not None and _kind(field) is str and ":" in values.rpartition("|")[2]


def _kind(field):
    return field.type if isinstance(field.type, type) else typing.get_args(field.type)[0]


def _instead(name):
    return "it is --max-epochs" if name == "epochs" else f"give --{name.replace('_', '-')}"


def _axis(field, text):
    """`"0.01:1"` or `"a|b"`, as the setting's type has it."""
    kind = _kind(field)
    low, colon, high = text.partition(":")
    if colon and kind is not str and "|" not in text:
        return _between(field.name, kind, low, high)
    values = tuple(_value(field.name, kind, each) for each in text.split("|"))
    if len(set(values)) < len(values):
        raise CommandError(f"--space {field.name}={text}: a value is there twice")
    return OneOf(values)


def _between(name, kind, low, high):
    low, high = _value(name, kind, low), _value(name, kind, high)
    if not (low < high and math.isfinite(high)):
        raise CommandError(f"--space {name}={low}:{high}: the first number must be lower than the second")
    return Between(low, high, log=low > 0 and high / low >= 10, whole=kind is int)


def _value(name, kind, text):
    try:
        return kind(text)
    except ValueError:
        raise CommandError(f"--space {name}: '{text}' is no {kind.__name__}") from None


def check(space, settings):
    """Make settings of each single value there is: a CommandError if one cannot be.

    Args:
        space: as `parse_space` gives it.
        settings: what the search starts from, a recipe's `Settings`.
    """
    if "momentum" in space and "optimizer" in space and not _with_momentum(space):
        raise CommandError(f"--space momentum: none of {', '.join(space['optimizer'].values)} has one")
    for name, axis in space.items():
        if name in ("schedule", "clipping") or axis is None:
            continue
        for value in axis.ends:
            with_others = {"momentum": None} if name == "optimizer" else {}
            others = {"optimizer": next(iter(_with_momentum(space)), None)} if name == "momentum" else {}
            dataclasses.replace(settings, **{name: value}, **with_others, **{k: v for k, v in others.items() if v})
    _check_texts(space, settings, "schedule", SCHEDULES)
    _check_texts(space, settings, "clipping", CLIPPERS)


def _check_texts(space, settings, name, known):
    for value in space[name].values if name in space else ():
        if value not in FAMILIES and value not in CLIPPINGS:
            dataclasses.replace(settings, **{name: value})


def paces(space, settings):
    """What a search may vary that decides how many updates there are, each combination as `Settings`."""
    names = [name for name in ("optimizer", "gradient_accumulation_steps", "batch_size") if name in space]
    for values in itertools.product(*(space[name].ends for name in names)):
        given = dict(zip(names, values, strict=True))
        if "optimizer" in given:
            given["momentum"] = None
        with contextlib.suppress(CommandError):  # two that do not fit together
            yield dataclasses.replace(settings, **given)


def optimizers_of(space, settings):
    """The optimizers that a search tries, as `--optimizer` takes them."""
    return space["optimizer"].values if "optimizer" in space else (getattr(settings, "optimizer", DESCENT),)


def _with_momentum(space):
    values = space["optimizer"].values if "optimizer" in space else ()
    return [value for value in values if parse_optimizer(value).momentum is not None]


def default_rates(optimizer):
    """The lowest and highest learning rate of an optimizer, by its kind."""
    chosen = parse_optimizer(optimizer)
    inner = (chosen.inner or chosen).name
    return ADAPTIVE_RATES if inner in KERAS and inner != "sgd" else RATES


def declare(space, hp, settings, facts):
    """Declare a space on `HyperParameters`, or read one trial's values from them.

    Args:
        space: as `parse_space` gives it.
        hp: `keras_tuner.HyperParameters`.
        settings: what the search starts from, a recipe's `Settings`.
        facts: `Facts`.

    Returns:
        A dict of the settings that the trial has instead.
    """
    given = {}
    for name, axis in space.items():
        if name == "schedule":
            given[name] = _declare_schedule(hp, axis, facts)
        elif name == "clipping":
            given[name] = _declare_clipping(hp, axis)
        elif name == "learning_rate":
            given[name] = _declare_rate(hp, axis, space, settings, facts)
        elif name == "momentum" and "optimizer" in space:
            with hp.conditional_scope("optimizer", _with_momentum(space)):
                given[name] = _one(hp, name, axis)
        else:
            given[name] = _one(hp, name, axis)
    if "optimizer" in given and "momentum" not in given:
        given["momentum"] = default_momentum(given["optimizer"])
    return given


def _declare_schedule(hp, axis, facts):
    chosen = hp.Choice("schedule", list(axis.values))
    texts = {}
    for family in axis.values:
        parameters = dict(FAMILIES.get(family, ()))
        if family == "warmup_stable_decay":  # in updates, the same at each rung
            most = facts.updates // 4
            parameters["warmup"] = Between(1, most, log=True, whole=True) if most > 1 else most
        with hp.conditional_scope("schedule", [family]):
            values = {key: _one(hp, f"{family}.{key}", each) for key, each in parameters.items()}
        texts[family] = _written(family, values)
    return texts[chosen]


def _declare_clipping(hp, axis):
    chosen = hp.Choice("clipping", list(axis.values))
    texts = {}
    for name in axis.values:
        bound = CLIPPINGS.get(name)
        with hp.conditional_scope("clipping", [name]):
            limit = None if bound is None else _one(hp, f"{name}.limit", bound)
        texts[name] = name if limit is None else f"{name}:{limit}"
    return texts[chosen]


def _declare_rate(hp, axis, space, settings, facts):
    if axis is not None:
        return _one(hp, "learning_rate", axis)
    rates = {}
    several = "optimizer" in space
    for optimizer in optimizers_of(space, settings):
        bounds = Between(*facts.rates.get(optimizer, default_rates(optimizer)), log=True)
        if several:
            with hp.conditional_scope("optimizer", [optimizer]):
                rates[optimizer] = _one(hp, f"{optimizer}.learning_rate", bounds)
        else:
            rates[optimizer] = _one(hp, "learning_rate", bounds)
    return rates[hp.get("optimizer")] if several else rates[optimizer]


def _one(hp, name, axis):
    """A number or a choice; None in a scope that is not the trial's."""
    if not isinstance(axis, (OneOf, Between)):
        return axis
    if isinstance(axis, OneOf):
        return hp.Choice(name, list(axis.values), ordered=None if isinstance(axis.values[0], str) else True)
    sampling = "log" if axis.log else "linear"
    if axis.whole:
        return hp.Int(name, int(axis.low), int(axis.high), sampling=sampling)
    value = hp.Float(name, axis.low, axis.high, sampling=sampling)
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _written(name, values):
    """A schedule as the command line takes it."""
    return name + (":" if values else "") + ",".join(f"{key}={value}" for key, value in values.items())
