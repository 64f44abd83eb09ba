"""KerasTuner's hyperparameters as Optuna's distributions, and values drawn for them."""

import functools
import math
import warnings

import keras_tuner
import numpy as np

TRIES = 20  # to draw what no configuration has


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
        warnings.simplefilter("ignore", UserWarning)  # of a range that is no multiple of the step; KerasTuner takes it
        if kind == "Int":
            return distributions.IntDistribution(low, high, log=log, step=step or 1)
        return distributions.FloatDistribution(low, high, log=log, step=step)


def params_of(space, values):
    """What can vary of the values of one trial, as Optuna has it: `(params, distributions)`, dicts by name."""
    found = {hp.name: distribution(hp) for hp in active(space, values)}
    found = {name: each for name, each in found.items() if each is not None}
    return {name: _within(each, values[name]) for name, each in found.items()}, found


def _within(wanted, value):
    """The same without the last bit by which KerasTuner's steps can miss the end of a range."""
    return min(max(value, wanted.low), wanted.high) if hasattr(wanted, "low") else value


def active(space, values):
    """The hyperparameters of a space whose conditions hold."""
    hps = keras_tuner.HyperParameters()
    hps.values = dict(values)
    for hp in space.space:
        if hp.name in values and hps.is_active(hp):
            yield hp


def drawn(space, seeds, others, begin):
    """Values for one configuration that no other has.

    Args:
        space: `keras_tuner.HyperParameters`.
        seeds: list of ints, that the values derive from.
        others: list of dicts, the values of other configurations.
        begin: function without arguments, called for each try; it gives a function of a hyperparameter and a seed that
            chooses its value.

    Returns:
        A dict; None if nothing new was drawn.
    """
    for attempt in range(TRIES):
        sequence = np.random.SeedSequence([*seeds, attempt])
        values = _drawn(space, sequence.generate_state(len(space.space) + 1).tolist(), begin())
        if values not in others:
            return values
    return None


def _drawn(space, numbers, choose):
    hps = keras_tuner.HyperParameters()
    for hp, number in zip(space.space, numbers, strict=False):
        if hps.is_active(hp):
            hps.values[hp.name] = choose(hp, number)
    return hps.values


def at_random():
    """Tries for `drawn` that are KerasTuner's own draws."""
    return lambda hp, seed: hp.random_sample(seed)


def by_tpe(trials, direction, seed):
    """Tries for `drawn` where the trials of a study were good.

    They are added to a study in memory, since Optuna's sampler writes into the study that it samples for.

    Args:
        trials: list of `optuna.trial.FrozenTrial`.
        direction: "minimize" or "maximize".
        seed: int.

    Reference:
        Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011 (the tree-structured Parzen estimator).
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.add_trials(trials)
    return lambda: functools.partial(_suggested, study.ask())


def _suggested(trial, hp, seed):
    wanted = distribution(hp)
    if wanted is None:
        return hp.value
    if not hasattr(wanted, "low"):
        return trial.suggest_categorical(hp.name, wanted.choices)
    suggest = trial.suggest_int if type(hp).__name__ == "Int" else trial.suggest_float
    value = suggest(hp.name, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
    is_exact = hp.step is None or (isinstance(value, int) and hp.sampling == "linear")
    return value if is_exact else _on_grid(hp, value)


def _on_grid(hp, value):
    """The nearest that KerasTuner knows, whose steps are factors on a log scale."""
    scale = math.log if hp.sampling == "log" else float
    nearest = min(hp.values, key=lambda each: abs(scale(each) - scale(value)))
    return type(value)(nearest)
