"""A space of settings as KerasTuner's hyperparameters, and the settings of a trial from their values."""

from recipes.tuning.axes import Between, OneOf
from recipes.tuning.space import CLIPPINGS, FAMILIES, default_rates, optimizers_of, with_momentum

DIGITS = 4  # significant digits of a number, so that a command line that names it gives the same number


def declare(space, hp, recipe, facts):
    """Declare a space on `HyperParameters`, or read one trial's values from them.

    Args:
        space: dict, as `recipes.tuning.space.parse_space` returns it.
        hp: `keras_tuner.HyperParameters`.
        recipe: `recipes.recipe.Recipe`, what the search starts from.
        facts: `Facts`.

    Returns:
        A dict of the trial's settings that differ from those of the recipe.
    """
    given = {name: _declare_setting(hp, name, axis, space, recipe, facts) for name, axis in space.items()}
    if "optimizer" in given and "momentum" not in given and "momentum" in recipe.settings():
        given["momentum"] = None  # that of the optimizer
    return given


def _declare_setting(hp, name, axis, space, recipe, facts):
    if name == "schedule":
        return _declare_schedule(hp, axis, facts)
    if name == "clipping":
        return _declare_clipping(hp, axis)
    if name == "learning_rate":
        return _declare_rate(hp, axis, space, recipe, facts)
    if name == "momentum" and "optimizer" in space:
        with hp.conditional_scope("optimizer", with_momentum(space)):
            return _declare_axis(hp, name, axis)
    return _declare_axis(hp, name, axis)


def _declare_schedule(hp, axis, facts):
    chosen = hp.Choice("schedule", list(axis.values))
    texts = {}
    for family in axis.values:
        parameters = dict(FAMILIES.get(family, ()))
        if family == "warmup_stable_decay":  # a number of updates, the same at all rungs
            most = facts.updates // 4
            parameters["warmup"] = Between(1, most, log=True, whole=True) if most > 1 else most
        with hp.conditional_scope("schedule", [family]):
            values = {key: _declare_axis(hp, f"{family}.{key}", each) for key, each in parameters.items()}
        texts[family] = _written(family, values)
    return texts[chosen]


def _written(family, values):
    """A schedule as the command line takes it."""
    return family + (":" if values else "") + ",".join(f"{key}={value}" for key, value in values.items())


def _declare_clipping(hp, axis):
    chosen = hp.Choice("clipping", list(axis.values))
    texts = {}
    for name in axis.values:
        bound = CLIPPINGS.get(name)
        with hp.conditional_scope("clipping", [name]):
            limit = None if bound is None else _declare_axis(hp, f"{name}.limit", bound)
        texts[name] = name if limit is None else f"{name}:{limit}"
    return texts[chosen]


def _declare_rate(hp, axis, space, recipe, facts):
    if axis is not None:
        return _declare_axis(hp, "learning_rate", axis)
    bounds = {
        optimizer: Between(*facts.rates.get(optimizer, default_rates(optimizer)), log=True)
        for optimizer in optimizers_of(space, recipe)
    }
    if "optimizer" not in space:
        return _declare_axis(hp, "learning_rate", *bounds.values())
    rates = {}
    for optimizer, each in bounds.items():
        with hp.conditional_scope("optimizer", [optimizer]):
            rates[optimizer] = _declare_axis(hp, f"{optimizer}.learning_rate", each)
    return rates[hp.get("optimizer")]


def _declare_axis(hp, name, axis):
    """The value of a hyperparameter; None if its condition does not hold. A number that is no axis is its own value."""
    if isinstance(axis, OneOf):
        return _declare_choice(hp, name, list(axis.values))
    if not isinstance(axis, Between):
        return axis
    sampling = "log" if axis.log else "linear"
    if axis.whole:
        return hp.Int(name, int(axis.low), int(axis.high), sampling=sampling)
    value = hp.Float(name, axis.low, axis.high, sampling=sampling)
    return None if value is None else float(f"{value:.{DIGITS}g}")


def _declare_choice(hp, name, values):
    if not isinstance(values[0], bool):  # KerasTuner's `Choice` would turn booleans into 0 and 1
        return hp.Choice(name, values)
    return hp.Boolean(name) if len(values) == 2 else hp.Fixed(name, values[0])
