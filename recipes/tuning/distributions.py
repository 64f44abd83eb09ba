"""KerasTuner's hyperparameters as Optuna's distributions, and values drawn for them."""

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
    if kind == "Int":
        return distributions.IntDistribution(low, high, log=log, step=1 if log else hp.step or 1)
    return distributions.FloatDistribution(low, high, log=log, step=None if log else hp.step)


def distributions_of(space, values):
    """The distributions of the values of one trial that can vary, by name."""
    found = {hp.name: distribution(hp) for hp in active(space, values)}
    return {name: each for name, each in found.items() if each is not None}


def active(space, values):
    """The hyperparameters of a space whose conditions hold."""
    hps = keras_tuner.HyperParameters()
    hps.values = dict(values)
    for hp in space.space:
        if hp.name in values and hps.is_active(hp):
            yield hp


def drawn(space, seeds, others, choose):
    """Values for one configuration that no other has.

    Args:
        space: `keras_tuner.HyperParameters`.
        seeds: list of ints, that the values derive from.
        others: list of dicts, the values of other configurations.
        choose: function of a hyperparameter and a seed that gives its value.

    Returns:
        A dict; None if nothing new was drawn.
    """
    for attempt in range(TRIES):
        sequence = np.random.SeedSequence([*seeds, attempt])
        values = _drawn(space, sequence.generate_state(len(space.space) + 1).tolist(), choose)
        if values not in others:
            return values
    return None


def _drawn(space, numbers, choose):
    hps = keras_tuner.HyperParameters()
    for hp, number in zip(space.space, numbers, strict=False):
        if hps.is_active(hp):
            hps.values[hp.name] = choose(hp, number)
    return hps.values


def at_random(hp, seed):
    """A value of a hyperparameter, by KerasTuner's own draw."""
    return hp.random_sample(seed)


def by_tpe(study, seed):
    """A function like `at_random` that draws where the trials of a study were good.

    Args:
        study: `optuna.Study`.
        seed: int.

    Reference:
        Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011 (the tree-structured Parzen estimator).
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    together = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))

    def choose(hp, seed):
        wanted = distribution(hp)
        if wanted is None:
            return hp.value
        if hp.name in together:
            return together.pop(hp.name)  # once: what was drawn before is drawn anew
        return sampler.sample_independent(study, trial, hp.name, wanted)

    return choose
