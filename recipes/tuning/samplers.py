"""How a search chooses its next configuration: functions of the trials alone, so that all machines choose the same.

Each sampler takes

    space       `keras_tuner.HyperParameters`
    rows        list of dicts, as `Rows.all` returns them: the first trial of each configuration
    seeds       list of ints from which random numbers are derived: the seed of the search, the configuration's number
    direction   "max" or "min"
    frozen      function without arguments that returns the same trials as Optuna's `FrozenTrial`s
    count       int, how many configurations there will be

and returns the values of a new configuration as a dict, or None if the space has no more.
"""

import functools
import itertools
import math
import warnings

import keras_tuner
import numpy as np

from recipes.tuning.distributions import distribution
from recipes.tuning.statuses import COMPLETED

TRIES = 20  # attempts to draw values that no other configuration has
INITIAL = 10  # configurations that are random, before a model of the scores is made, as in Optuna's TPE
EVENLY = 5  # evenly spaced values of a single number, before the search goes on near the best one
WIDEST = 1.0  # how far beyond either end of its range a search of a single number may go, in lengths of that range
GRID = 10_000  # combinations of a grid that are looked at all at once
CANDIDATES = 500  # points of each kind at which a Gaussian process is evaluated
DIRECTIONS = {"max": "maximize", "min": "minimize"}  # KerasTuner's and Optuna's


def at_random(space, rows, seeds, direction=None, frozen=None, count=None):
    """Random values, as KerasTuner draws them. If all draws are known, the first new combination of the grid."""
    others = [configuration_values(row) for row in rows]
    values = draw_new(space, others, seeds, lambda: lambda hp, seed: hp.random_sample(seed))
    if values is not None:
        return values
    return next((each for each in itertools.islice(_grid(space), len(others) + 1) if each not in others), None)


def on_a_grid(space, rows, seeds, direction=None, frozen=None, count=None):
    """Every combination, one after the other, in the order of KerasTuner's `GridSearchOracle`.

    Where there are more than `count` of them (and at most `GRID`), the first and the last, and as many as there will be
    evenly in between: the first ones alone would have the lowest values of a range.
    """
    combinations = list(itertools.islice(_grid(space), GRID + 1)) if count is not None else []
    if 1 < (count or 0) < len(combinations) <= GRID:
        known = [configuration_values(row) for row in rows]
        ordered = sorted(
            combinations, key=functools.partial(_places, space)
        )  # KerasTuner's order is not that of numbers
        some = [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, count)]
        return next((each for each in [*some, *ordered] if each not in known), None)
    last = configuration_values(max(rows, key=lambda row: row["step"].configuration)) if rows else None
    return next(_grid(space, last), None)


def on_a_line(space, rows, seeds=None, direction="max", frozen=None, count=EVENLY):
    """Values of a single number: first evenly over its range, and then near the best.

    Five values go from end to end, and fewer, if there will be no more, stand as far from the ends as from each other.
    Then comes the middle of the wider gap beside the best value; or, where that is the lowest or the highest of all,
    one that is as far beyond it as the next one is on this side: the best may lie outside of the range.

    Raises:
        ValueError: the space is not a single number.
    """
    (hp,) = space.space if len(space.space) == 1 else (None,)
    if type(hp).__name__ != "Float" or hp.step is not None:
        raise ValueError("the sampler 'line' searches one number")
    known = sorted(((hp.value_to_prob(row["values"][hp.name]), row) for row in rows), key=lambda pair: pair[0])
    evenly = min(count, EVENLY)
    place = _evenly([place for place, _ in known], evenly) if len(rows) < evenly else _near_the_best(known, direction)
    return {hp.name: hp.prob_to_value(place)}


def _evenly(known, count):
    """The one of so many evenly spaced places that is farthest from those that are known."""
    inside = [(i + 0.5) / count for i in range(count)]
    places = inside if count < EVENLY else np.linspace(0, np.nextafter(1, 0), count).tolist()
    return max(places, key=lambda place: min((abs(place - each) for each in known), default=0.0))


def _near_the_best(known, direction):
    """Beside the best value, or beyond it; of equal ones that which is farthest from the ends."""
    places = [place for place, _ in known]
    done = [i for i, (_, row) in enumerate(known) if row["status"] == COMPLETED]
    sign = 1 if direction == "max" else -1
    best = max(done, key=lambda i: (sign * known[i][1]["score"], -abs(places[i] - 0.5)), default=None)
    beyond = None if best is None or len(places) < 2 else _beyond(places, best)
    if beyond is not None and -WIDEST <= beyond <= 1 + WIDEST:
        return beyond
    best = 0 if best is None else best
    gaps = [(places[i + 1] - places[i], i) for i in (best - 1, best) if 0 <= i < len(places) - 1]
    _, left = max(gaps, default=(0.0, 0))
    return (places[left] + places[min(left + 1, len(places) - 1)]) / 2


def _beyond(places, best):
    """As far beyond the lowest or the highest of places as the next one is from it; None for one between others."""
    if 0 < best < len(places) - 1:
        return None
    return 2 * places[best] - places[1 if best == 0 else -2]


def _places(space, values):
    """Where the values of a combination lie in their ranges, from 0 to 1, a list."""
    return [hp.value_to_prob(values[hp.name]) for hp in space.space if hp.name in values]


def _grid(space, after=None):
    """The combinations of a grid: all of them, or those after a given one."""
    oracle = keras_tuner.oracles.GridSearchOracle(hyperparameters=space.copy())
    if after is None:
        after = _values_by(space, lambda hp, place: hp.default)
        yield after
    while (after := oracle._get_next_combination(after)) is not None:
        yield after


def by_tpe(space, rows, seeds, direction, frozen, count=None):
    """Values by Optuna's tree-structured Parzen estimator. A trial that failed counts as the worst one.

    The trials are added to a study in memory, since Optuna's sampler writes into its study.

    Reference:
        Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011.
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=INITIAL, seed=_one_seed(seeds), multivariate=True, group=True, constant_liar=True
        )
    study = optuna.create_study(direction=DIRECTIONS[direction], sampler=sampler)
    study.add_trials(_scored(frozen(), min if direction == "max" else max))
    others = [configuration_values(row) for row in rows]
    return draw_new(space, others, seeds, lambda: functools.partial(_suggested, study.ask()))


def by_gaussian_process(space, rows, seeds, direction, frozen=None, count=None):
    """Values at which a Gaussian process expects the largest improvement. Failed and running trials count as the worst.

    ```python
    z = (best - mean) / deviation                              # the score is minimised, or its negative
    improvement = deviation * (z * norm.cdf(z) + norm.pdf(z))
    ```

    Kernel and noise are those of KerasTuner's `BayesianOptimizationOracle`, which takes seconds for each trial, since
    it minimises from 50 points by numerical gradients. Here the improvement is computed at 500 random points and at 500
    points near the best one. Inactive hyperparameters have the same place in all points.

    Reference:
        Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, 2012, arXiv:1206.2944.
    """
    from scipy.stats import norm
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    sign = -1 if direction == "max" else 1
    known = {row["trial_id"]: sign * row["score"] for row in rows if row["status"] == COMPLETED}
    if len(known) < INITIAL:
        return at_random(space, rows, seeds)
    x = np.array([_place(space, configuration_values(row)) for row in rows])
    y = np.array([known.get(row["trial_id"], max(known.values())) for row in rows])
    rng = np.random.default_rng(seeds)
    process = GaussianProcessRegressor(
        Matern(nu=2.5), alpha=1e-4, normalize_y=True, n_restarts_optimizer=2, random_state=_one_seed(seeds)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns if a length of the kernel is at the end of its range
        process.fit(x, y)
    near = x[y.argmin()] + 0.1 * rng.standard_normal((CANDIDATES, x.shape[1]))
    points = np.concatenate([rng.random((CANDIDATES, x.shape[1])), np.clip(near, 0, np.nextafter(1, 0))])
    candidates = [_values_by(space, lambda hp, place, at=at: _value(hp, at[place])) for at in points]
    mean, deviation = process.predict(np.array([_place(space, each) for each in candidates]), return_std=True)
    z = (min(known.values()) - mean) / deviation
    improvement = deviation * (z * norm.cdf(z) + norm.pdf(z))
    others = [configuration_values(row) for row in rows]
    ranked = (candidates[index] for index in np.argsort(-improvement, kind="stable"))
    return next((values for values in ranked if values not in others), None)


SAMPLERS = {
    "random": at_random,
    "grid": on_a_grid,
    "line": on_a_line,
    "tpe": by_tpe,
    "bayesian": by_gaussian_process,
}


def configuration_values(row):
    """The hyperparameters of a trial's configuration, without KerasTuner's entries about its budget."""
    return {name: value for name, value in row["values"].items() if not name.startswith("tuner/")}


def draw_new(space, others, seeds, make_suggest):
    """Draw values that no other configuration has.

    Args:
        space: `keras_tuner.HyperParameters`.
        others: list of dicts, the values of other configurations.
        seeds: list of ints from which random numbers are derived.
        make_suggest: function without arguments that is called for each attempt. It returns a function of a
            hyperparameter and a seed, which chooses the value.

    Returns:
        A dict; None if all draws were known.
    """
    for attempt in range(TRIES):
        sequence = np.random.SeedSequence([*seeds, attempt])
        numbers = sequence.generate_state(len(space.space) + 1).tolist()
        values = _values_by(space, functools.partial(_with_number, make_suggest(), numbers))
        if values not in others:
            return values
    return None


def _with_number(suggest, numbers, hp, place):
    return suggest(hp, numbers[place])


def _values_by(space, suggest):
    """Values of the active hyperparameters: `suggest(hp, place)` for each, with its place in the space."""
    hps = keras_tuner.HyperParameters()
    for place, hp in enumerate(space.space):
        if hps.is_active(hp):
            hps.values[hp.name] = suggest(hp, place)
    return hps.values


def _scored(trials, worst):
    """Optuna's trials, where those that failed have the worst of all scores."""
    from optuna.trial import TrialState, create_trial

    scores = [trial.value for trial in trials if trial.state == TrialState.COMPLETE]
    for trial in trials:
        if trial.state != TrialState.FAIL:
            yield trial
        elif scores:
            yield create_trial(params=trial.params, distributions=trial.distributions, value=worst(scores))


def _one_seed(seeds):
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


def _suggested(trial, hp, seed):
    wanted = distribution(hp)
    if wanted is None:
        return hp.value
    if not hasattr(wanted, "low"):
        return trial.suggest_categorical(hp.name, wanted.choices)
    suggest = trial.suggest_int if type(hp).__name__ == "Int" else trial.suggest_float
    value = suggest(hp.name, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
    is_exact = hp.step is None or (isinstance(value, int) and hp.sampling == "linear")
    return value if is_exact else _on_steps(hp, value)


def _on_steps(hp, value):
    """The nearest value that KerasTuner allows; on a logarithmic scale its steps are factors."""
    scale = math.log if hp.sampling == "log" else float
    nearest = min(hp.values, key=lambda each: abs(scale(each) - scale(value)))
    return type(value)(nearest)


def _place(space, values):
    """The values as a point of the unit cube. Inactive hyperparameters are at their defaults."""
    return [_share(hp, values.get(hp.name, hp.default)) for hp in space.space]


def _share(hp, value):
    return 0.0 if isinstance(hp, keras_tuner.engine.hyperparameters.Fixed) else hp.value_to_prob(value)


def _value(hp, share):
    return hp.value if isinstance(hp, keras_tuner.engine.hyperparameters.Fixed) else hp.prob_to_value(share)
