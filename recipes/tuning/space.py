"""What `--space` takes: the settings that a search varies, and between which values.

    learning_rate                       between bounds from a range test
    learning_rate=0.01:1                from 0.01 to 1; by its logarithm if it spans a factor of 10
    schedule                            the families below, each with its own parameters
    schedule=cosine/linear:warmup=0.1   of these; one with parameters stays as it is written
    batch_size=64/128                   any setting of the recipe: one of several values
    schedule,momentum,clipping          several at once

A | between values is read, too, as in older versions; in a shell it has to be quoted.

Values are read and checked as the recipe's own settings are. Nothing here imports Keras, so that a wrong space is
answered at once. `recipes.tuning.hyperparameters` declares a space on KerasTuner's `HyperParameters`.
"""

import contextlib
import dataclasses
import functools
import itertools

from recipes.errors import CommandError
from recipes.settings import grammar
from recipes.settings.beside_search import IDLE, idle
from recipes.settings.fields import NONE, option_of
from recipes.settings.line_searches import LINE_SEARCHES, OF_DESCENT
from recipes.settings.nearest import spelled, unknown
from recipes.settings.optimizers import KERAS, parse_optimizer
from recipes.tuning.axes import Between, OneOf

ADAPTIVE_RATES, RATES = (1e-4, 1e-2), (1e-3, 1.0)  # between which rates lie that no test has found
DESCENT = "batch_gd"  # the optimizer that a recipe without a setting for one is taken to have
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
    "line_search": OneOf(tuple(name for name in LINE_SEARCHES if name not in OF_DESCENT)),
    "batch_size": OneOf((32, 64, 128, 256)),
    "weight_decay": Between(1e-5, 1e-1, log=True),
    "label_smoothing": Between(0.0, 0.3),
}
ORDER = ("optimizer", "line_search", "schedule")  # what others depend on comes first
SEARCHED = ("schedule", "learning_rate", "momentum", "clipping")  # unless --space is given
TOGETHER = 3  # axes that are moved at most to make room for a value: no setting depends on more
PACES = ("optimizer", "gradient_accumulation_steps", "batch_size")  # what decides how many updates there are


def usual_space(recipe):
    """What is searched unless `--space` is given: names of settings that a recipe has."""
    has_momentum = parse_optimizer(optimizer_of(recipe)).momentum is not None
    without = idle(recipe)
    names = [name for name in _usual(recipe.settings()) if name not in without and (name != "momentum" or has_momentum)]
    return names or [name for name in ("line_search",) if name in recipe.settings()]


def _usual(settings):
    return [name for name in SEARCHED if name in settings]


def optimizer_of(recipe):
    """The optimizer of a recipe, as `--optimizer` takes it."""
    return recipe.optimizer if "optimizer" in recipe.settings() else DESCENT


def parse_space(texts, recipe):
    """Read the space of a search.

    Args:
        texts: list of str, as the first lines of this file have them.
        recipe: `recipes.recipe.Recipe`, or its class.

    Returns:
        A dict from settings to `Between`, `OneOf` or, for learning rates that are to be tested, None.

    Raises:
        CommandError: it is empty, or something in it cannot be searched.
    """
    settings, space, items = recipe.settings(), {}, grammar.items(texts, has_alternatives=True)
    _check_commas(items, settings)
    for item in items:
        name, equals, values = (word.strip() for word in item.partition("="))
        _check_name(name, settings)
        if name in space:
            raise CommandError(f"--space: {name} is given twice")
        if not equals and name not in DEFAULTS:
            raise CommandError(f"--space: say between which values {name} lies: {example(name, settings[name])}")
        space[name] = _axis(name, settings[name], values) if equals else DEFAULTS[name]
    if not space:
        some = _usual(settings)[:2] or [example(name, each) for name, each in _searchable(settings).items()][:1]
        raise CommandError(f"--space is empty; such as --space {','.join(some)}")
    return {name: space[name] for name in sorted(space, key=lambda n: (n not in ORDER, list(space).index(n)))}


def _check_commas(items, settings):
    """Raise a CommandError where a comma stands between the values of a setting, and no slash."""
    for number, first in enumerate(items):
        is_more = functools.partial(_is_value_of, first.partition("=")[0].strip(), settings)
        more = list(itertools.takewhile(is_more, items[number + 1 :])) if "=" in first else []
        if more:
            raise CommandError(f"--space: / stands between the values of a setting: write {'/'.join([first, *more])}")


def _is_value_of(name, settings, text):
    """Whether a text may be a value of a setting, and names none itself."""
    if name not in settings or text.partition("=")[0].strip() in settings:
        return False
    with contextlib.suppress(CommandError):
        return settings[name].read(text) is not None
    return False


def _check_name(name, settings):
    if name not in settings:
        raise CommandError(f"--space: {unknown('setting', name, _searchable(settings))}")
    if not settings[name].is_searched:
        option = "--max-epochs" if name == "epochs" else option_of(name)
        raise CommandError(f"--space: {name} is the same in all trials; give {option} instead")


def _searchable(settings):
    return {name: setting for name, setting in settings.items() if setting.is_searched}


def example(name, setting):
    """How the values of a setting that are searched are written."""
    return f"{name}=LOW:HIGH or {name}=A/B" if _is_number(setting) else f"{name}=A/B"


def _is_number(setting):
    return setting.type in (float, int)


def _axis(name, setting, text):
    """`"0.01:1"` as `Between`, `"a/b"` as `OneOf`, read as the setting reads its values."""

    def read(value):
        try:
            return setting.checked(f"--space {name}", value.strip())
        except CommandError as error:
            hint = "; a setting behind parameters is given by a --space of its own" if "," in value else ""
            raise CommandError(f"{error}{hint}") from None

    low, colon, high = text.partition(":")
    if colon and _is_number(setting) and len(grammar.alternatives(text)) == 1:
        return _between(name, setting, read(low), read(high))
    values = tuple(_spelled(name, read(value)) for value in grammar.alternatives(text))
    if None in values:
        raise CommandError(f"--space {name}={text}: {NONE} stands for no value, which cannot be searched")
    if len(set(values)) < len(values):
        raise CommandError(f"--space {name}={text}: a value is there twice")
    return OneOf(values)


def _spelled(name, value):
    """The name of a family of schedules as `FAMILIES` has it, however it is written; any other value as it is."""
    return spelled(value, FAMILIES) or value if name == "schedule" else value


def _between(name, setting, low, high):
    if not low < high:
        raise CommandError(f"--space {name}={low}:{high}: the first number must be lower than the second")
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and setting.read(low + 1) is None:
        raise CommandError(f"--space {name}={low}:{high}: not all whole numbers between can be; write {name}=A/B")
    return Between(low, high, log=low > 0 and high / low >= 10, whole=whole)


def check(space, recipe):
    """Raise a CommandError for a value of a space that no combination of its values has room for.

    Other combinations that cannot be are drawn all the same: such a trial fails at once, with one line that says why.

    Args:
        space: as `parse_space` gives it.
        recipe: `recipes.recipe.Recipe`, what the search starts from.
    """
    if "momentum" in space and "optimizer" in space and not with_momentum(space):
        raise CommandError(f"--space momentum: none of {', '.join(space['optimizer'].values)} has one")
    for name, axis in space.items():
        for value in () if name == "line_search" else _written_ends(name, axis):  # searches are tried below
            _fitting(space, recipe, {name: value})
    for each in searching(space, recipe):
        _check_effect(space, each)


def searching(space, recipe):
    """The recipe with each optimizer and each line search of a space. Raises a CommandError for two that do not fit."""
    names = [name for name in ("optimizer", "line_search") if name in space]
    pairs = itertools.product(*(space[name].values for name in names))
    return [_fitting(space, recipe, dict(zip(names, values, strict=True))) for values in pairs]


def _fitting(space, recipe, given):
    """A recipe with given values of a space, and with values of the space for its other axes, that can be.

    Raises:
        CommandError: there is none; it says why not with the values that are nearest to the recipe's own.
    """
    others = {name: _written_ends(name, axis) for name, axis in space.items() if axis and name not in given}
    if "momentum" in given and "optimizer" in others:
        others["optimizer"] = with_momentum(space)
    usual = {name: own if (own := getattr(recipe, name)) in values else values[0] for name, values in others.items()}
    told = None
    for count in range(min(len(others), TOGETHER) + 1):
        for names in itertools.combinations(others, count):
            for values in itertools.product(*(others[name] for name in names)):
                try:
                    return _with(recipe, space, {**usual, **dict(zip(names, values, strict=True)), **given})
                except CommandError as error:
                    told = told or error
    raise told


def _check_effect(space, recipe):
    """Raise a CommandError for an axis that means nothing beside the line search of an optimizer."""
    for name in idle(recipe):
        has_another = name == "momentum" and set(with_momentum(space)) - {recipe.optimizer}
        if name in space and not has_another:
            raise CommandError(
                f"--space {name}: it is without effect beside {recipe.optimizer}: {IDLE[name][1]}, so leave it out"
            )


def _written_ends(name, axis):
    """The values at the ends of an axis as the setting takes them: `agc:0.003` of `agc`."""
    if axis is None:
        return ()
    if name != "clipping":
        return axis.ends
    bounds = ((value, CLIPPINGS.get(value)) for value in axis.ends)
    return tuple(value if bound is None else f"{value}:{bound.low}" for value, bound in bounds)


def _with(recipe, space, values):
    """A recipe with values of a space; beside an optimizer its momentum is one of them, or the default."""
    having = with_momentum(space)
    if "momentum" in values and having:
        values = {"optimizer": having[0], **values}
    if "optimizer" in values and "momentum" in recipe.settings():
        values = {**values, "momentum": values.get("momentum") if values["optimizer"] in having else None}
    return dataclasses.replace(recipe, **values)


def with_optimizer(recipe, optimizer):
    """The same recipe with another optimizer, whose momentum is that which the recipe gives it by default."""
    return _with(recipe, {}, {"optimizer": optimizer})


def with_momentum(space):
    """The optimizers of a space that have a momentum."""
    values = space["optimizer"].values if "optimizer" in space else ()
    return [value for value in values if parse_optimizer(value).momentum is not None]


def paces(space, recipe):
    """The recipe with each combination of what a search varies that decides how many updates there are.

    Yields:
        Recipes; combinations that do not fit together are left out.
    """
    names = [name for name in PACES if name in space]
    for values in itertools.product(*(space[name].ends for name in names)):
        given = dict(zip(names, values, strict=True))
        if "optimizer" in given and "momentum" in recipe.settings():
            given["momentum"] = None
        with contextlib.suppress(CommandError):
            yield dataclasses.replace(recipe, **given)


def optimizers_of(space, recipe):
    """The optimizers that a search tries, as `--optimizer` takes them."""
    return space["optimizer"].values if "optimizer" in space else (optimizer_of(recipe),)


def default_rates(optimizer):
    """The lowest and highest learning rate of an optimizer, by its kind."""
    chosen = parse_optimizer(optimizer)
    inner = (chosen.inner or chosen).name
    return ADAPTIVE_RATES if inner in KERAS and inner != "sgd" else RATES
