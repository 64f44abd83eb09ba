"""KerasTuner's hyperparameters as Optuna's distributions."""

import warnings

import keras_tuner


def distribution(hp):
    """The Optuna distribution of a hyperparameter; None for a fixed one."""
    from optuna import distributions

    kind = type(hp).__name__
    if kind == "Boolean":
        return distributions.CategoricalDistribution((False, True))
    if kind == "Choice":
        return distributions.CategoricalDistribution(tuple(hp.values))
    if kind == "Fixed":
        return None
    low, high, log = hp.min_value, hp.max_value, hp.sampling == "log"
    step = hp.step if hp.sampling == "linear" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the range is no multiple of the step, which KerasTuner allows
        if kind == "Int":
            return distributions.IntDistribution(low, high, log=log, step=step or 1)
        return distributions.FloatDistribution(low, high, log=log, step=step)


def params_of(space, values):
    """The values of one trial that are not fixed, for Optuna: `(params, distributions)`, dicts by name."""
    found = {hp.name: distribution(hp) for hp in active(space, values)}
    found = {name: _reaching(each, values[name]) for name, each in found.items() if each is not None}
    return {name: _within(each, values[name]) for name, each in found.items()}, found


def _reaching(wanted, value):
    """The same distribution, with a range that reaches a value beyond it, which a search of one number may try."""
    from optuna.distributions import FloatDistribution

    if not isinstance(wanted, FloatDistribution) or wanted.step is not None:
        return wanted
    return FloatDistribution(min(wanted.low, value), max(wanted.high, value), log=wanted.log)


def _within(wanted, value):
    """The same value within its range, which rounding in KerasTuner's steps can leave by the last bit."""
    return min(max(value, wanted.low), wanted.high) if hasattr(wanted, "low") else value


def active(space, values):
    """The hyperparameters of a space whose conditions hold."""
    hps = keras_tuner.HyperParameters()
    hps.values = dict(values)
    for hp in space.space:
        if hp.name in values and hps.is_active(hp):
            yield hp
