"""How good a search is for its cost, by replaying each algorithm 500 times on a table of real trainings.

A replay draws the order of the 40 configurations and the seed of each; every algorithm then sees the trainings of
`benchmarks.tuning_table` in place of its own:

    random    each configuration for the longest budget
    ours      `recipes.tuning.halving`: its rungs are the shortest and the longest budget; from scratch for each, or on
              from what the two have in common
    three_rungs  the same with all budgets, and a quarter of each going on
    stock     KerasTuner's own `HyperbandOracle`, with its brackets, its continued trials and its scores of best epochs

What an algorithm has after some epochs is the configuration that it would return then. Its score is what the search
saw of it for the longest budget: the last epoch's, but for stock, which goes by best epochs, some of continued trials.
Its quality is the mean last score over the seeds that the replay did not draw, so that an algorithm that tries more
often is not paid for luck; the images to score by are the same.

Costs are epochs to the score that at least half of 5,000 random searches end with, and beside it to the next higher
one, since scores are few; and to the median quality of those searches. Differences are of qualities. Algorithms end by
themselves; after more epochs, each is judged by what it had found.

Two intervals of 95 % go with each difference: of its mean over the replays of this table, and of what other tables
might have said, by drawing the 40 configurations anew with replacement, 100 times.

    python -m benchmarks.tuning_replay           # five minutes; no training
"""

import collections
import csv
import functools
import json
import pathlib
import statistics
import typing

import keras_tuner
import numpy as np

from benchmarks.record import write
from recipes.tuning.halving import FACTOR, STOP, KnownTrial, next_step, rungs_of
from recipes.tuning.statuses import COMPLETED, RUNNING

RESULTS = pathlib.Path(__file__).parent / "results"
REPLAYS, FULL_TRIALS = 500, 20
SHARES = (0.1, 0.2, 1 / 3, 2 / 3, 1)  # of the cost of random search
RESAMPLED = 2000  # means over the replays
SEARCHES = 5000  # random ones, that the score to reach is the median of
TABLES, REPLAYS_OF_EACH = 100, 20  # of other configurations


class Found(typing.NamedTuple):
    """What an algorithm has from so many epochs on; `score` is 0 while it has trained none for the longest budget."""

    cost: int
    quality: float
    score: float


class Table:
    """Trainings by configuration and seed.

    Args:
        rows: list of dicts as `benchmarks.tuning_table` writes them.
    """

    def __init__(self, rows):
        self.ours, self.stock, self.family = {}, {}, {}
        for row in rows:
            self.family[int(row["configuration"])] = row["schedule"]
            key = int(row["configuration"]), int(row["seed"])
            of = self.ours if row["kind"] == "ours" else self.stock
            scores = float(row["score"]), float(row["best"]), int(row["trained_epochs"])
            of.setdefault(key, {})[row["way"]] = scores
        self.configurations = sorted({configuration for configuration, _ in self.ours})
        self.seeds = sorted({seed for _, seed in self.ours})
        self.budgets = sorted({int(row["epochs"]) for row in rows})

    def trained(self, configuration, seed, rungs, rung):
        """Epochs that are trained for a rung: those of its budget, without what goes on from the rung before.

        Args:
            configuration, seed: ints.
            rungs: list of ints, places in `budgets`.
            rung: int, place in `rungs`.
        """
        here = self.ours[configuration, seed]
        if rung == 0:
            return self.budgets[rungs[0]]
        before, place = rungs[rung - 1 : rung + 1]
        following = self.budgets[before + 1]  # of which the table says what goes on from `before`
        return self.budgets[place] - (following - here[str(following)][2])

    def quality(self, configuration, drawn=None):
        """Mean score of its training for the longest budget, over all seeds but the one that a replay has drawn."""
        seeds = [seed for seed in self.seeds if seed != drawn] or self.seeds
        return statistics.mean(self.ours[configuration, seed][str(self.budgets[-1])][0] for seed in seeds)


def random_search(table, order, seeds):
    """What random search has, a list of `Found`."""
    longest = table.budgets[-1]
    best, trace = -1.0, []
    for number, configuration in enumerate(order[:FULL_TRIALS]):
        score = table.ours[configuration, seeds[configuration]][str(longest)][0]
        if score > best:
            best = score
            trace.append(Found((number + 1) * longest, table.quality(configuration, seeds[configuration]), score))
    return trace


def two_rungs(table):
    """The budgets of our halving, as places in those of a table."""
    return [table.budgets.index(epochs) for epochs in rungs_of(table.budgets[-1])]


def three_rungs(table, order, seeds):
    """The same of halving as in the paper."""
    return ours(table, order, seeds, [0, 1, 2], factor=4)


def ours(table, order, seeds, rungs=None, factor=FACTOR):
    """The same of our halving."""
    rungs = rungs or two_rungs(table)
    cost, best, trace = 0, (-1, -1.0), []
    for rung, configuration, score, trained in halved(table, order, seeds, rungs, factor):
        cost += trained
        if (rung, score) > best:
            best = rung, score
            is_whole = rung == len(rungs) - 1
            trace.append(Found(cost, table.quality(configuration, seeds[configuration]), score if is_whole else 0.0))
    return trace


def halved(table, order, seeds, rungs=None, factor=FACTOR):
    """The trials of halving, one after the other: rung, configuration, score and epochs trained."""
    seen, rungs = [], rungs or two_rungs(table)
    while (step := next_step(seen, len(order), len(rungs), factor)) != STOP:
        configuration = order[step.configuration]
        seed, budget = seeds[configuration], table.budgets[rungs[step.rung]]
        score = table.ours[configuration, seed][str(budget)][0]
        seen.append(KnownTrial(step, COMPLETED, score))
        yield step.rung, configuration, score, table.trained(configuration, seed, rungs, step.rung)


def stock(table, order, seeds):
    """The same of KerasTuner's Hyperband."""
    oracle = _Replayed(order, table.budgets[-1], table.budgets[-1] // table.budgets[-2])
    cost, best, trace, ways = 0, -1.0, [], {}
    while (trial := oracle.create_trial("tuner0")).status == RUNNING:
        values = trial.hyperparameters.values
        configuration, parent = values["configuration"], values.get("tuner/trial_id")
        way = str(values["tuner/epochs"]) if parent is None else f"{ways[parent]}>{values['tuner/epochs']}"
        ways[trial.trial_id] = way
        of = table.stock if way != str(table.budgets[-1]) else table.ours
        _, score, _ = of[configuration, seeds[configuration]][way]
        cost += values["tuner/epochs"] - values["tuner/initial_epoch"]
        oracle.update_trial(trial.trial_id, {"val_accuracy": score})
        trial.status = COMPLETED
        oracle.end_trial(trial)
        if score > best:
            best = score
            trace.append(Found(cost, table.quality(configuration, seeds[configuration]), score))
    return trace


class _Replayed(keras_tuner.oracles.HyperbandOracle):
    """KerasTuner's oracle, which takes configurations in a given order and keeps no files."""

    def __init__(self, order, max_epochs, factor):
        space = keras_tuner.HyperParameters()
        space.Int("configuration", 0, max(order))
        objective = keras_tuner.Objective("val_accuracy", "max")
        super().__init__(objective, max_epochs=max_epochs, factor=factor, hyperparameters=space, seed=1)
        self.verbose = 0
        self._order = iter(order)

    def _random_values(self):
        configuration = next(self._order, None)
        return None if configuration is None else {"configuration": configuration}

    def save(self):
        pass

    def _save_trial(self, trial):
        pass


ALGORITHMS = {"random": random_search, "ours": ours, "three_rungs": three_rungs, "stock": stock}


def has_after(trace, cost):
    """Quality of what an algorithm has after so many epochs; 0 before it has anything."""
    return next((found.quality for found in reversed(trace) if found.cost <= cost), 0.0)


def cost_of(trace, wanted, name="score"):
    """Epochs after which an algorithm has seen that score, or has that quality; infinite if it never does."""
    return next((found.cost for found in trace if getattr(found, name) >= wanted), np.inf)


def targets(table, searches=SEARCHES):
    """What random searches end with: the highest score that at least half of them have, the next one, and a quality."""
    ends = [random_search(table, *drawn(table, number))[-1] for number in range(searches)]
    scores = [end.score for end in ends]
    half = max(score for score in scores if sum(each >= score for each in scores) * 2 >= len(scores))
    above = min((score for score in scores if score > half), default=half)
    return half, above, statistics.median_low(end.quality for end in ends)


def drawn(table, number, configurations=None):
    """The order of the configurations in a replay, and the seed of each."""
    rng = np.random.default_rng(number)
    order = rng.permutation(table.configurations if configurations is None else configurations).tolist()
    seeds = rng.choice(table.seeds, len(table.configurations)).tolist()
    return order, dict(zip(table.configurations, seeds, strict=True))


def replayed(table, replays=REPLAYS, configurations=None):
    """Traces of each algorithm, a list by name; of other configurations than all of the table, if they are given."""
    traces = {name: [] for name in ALGORITHMS}
    for number in range(replays):
        order, seeds = drawn(table, number, configurations)
        for name, algorithm in ALGORITHMS.items():
            traces[name].append(algorithm(table, order, seeds))
    return traces


def replayed_elsewhere(table, tables=TABLES, replays=REPLAYS_OF_EACH):
    """The same of tables whose configurations are drawn anew from these, a list."""
    rng = np.random.default_rng(0)
    draws = (rng.choice(table.configurations, len(table.configurations)) for _ in range(tables))
    return [replayed(table, replays, configurations) for configurations in draws]


def compared(table, traces, elsewhere):
    """Cost and quality of the algorithms, a dict."""
    whole = FULL_TRIALS * table.budgets[-1]
    score, above, quality = targets(table)

    def costs(wanted, name="score"):
        found = {key: [cost_of(trace, wanted, name) for trace in each] for key, each in traces.items()}
        return {key: _finite(statistics.median(each) / whole) for key, each in found.items()}

    def reached(wanted):
        return {key: statistics.mean(cost_of(trace, wanted) < np.inf for trace in each) for key, each in traces.items()}

    at = functools.partial(_difference, traces, elsewhere)
    return {
        "replays": len(traces["ours"]),
        "configurations": len(table.configurations),
        "budgets": table.budgets,
        "epochs_of_20_full_trials": whole,
        "median_score_of_20_full_trials": score,
        "median_cost_to_reach_it": costs(score),
        "share_of_replays_that_reach_it": reached(score),
        "next_higher_score": above,
        "median_cost_to_reach_that": costs(above),
        "median_quality_of_20_full_trials": quality,
        "median_cost_to_reach_that_quality": costs(quality, "quality"),
        "share_of_other_configurations_within_a_third": _within_a_third(elsewhere, whole),
        "points_above_stock": {f"{share:.2f}": at("stock", share * whole) for share in SHARES},
        "points_above_three_rungs": {f"{share:.2f}": at("three_rungs", share * whole) for share in SHARES},
        "points_above_random": {f"{share:.2f}": at("random", share * whole) for share in SHARES},
        "saved_by_going_on": _saved(table, len(traces["ours"])),
        "saved_by_going_on_at_all_budgets": _saved_at_all_budgets(table),
    }


def _difference(traces, elsewhere, other, cost):
    """Mean of our quality less another's, in points, and its intervals."""
    points = _points(traces, other, cost)
    rng = np.random.default_rng(0)
    means = points[rng.integers(len(points), size=(RESAMPLED, len(points)))].mean(axis=1)
    others = [_points(each, other, cost).mean() for each in elsewhere]
    return {
        "mean": float(points.mean()),
        "interval": np.quantile(means, [0.025, 0.975]).tolist(),
        "interval_of_other_configurations": np.quantile(others, [0.025, 0.975]).tolist(),
    }


def _within_a_third(elsewhere, whole):
    """In how many other tables ours reaches the median score of their random searches in a third of the epochs."""
    within = []
    for traces in elsewhere:
        target = statistics.median_low(trace[-1].score for trace in traces["random"])
        within.append(statistics.median(cost_of(trace, target) for trace in traces["ours"]) <= whole / 3)
    return statistics.mean(within)


def _points(traces, other, cost):
    pairs = zip(traces["ours"], traces[other], strict=True)
    return np.array([100 * (has_after(a, cost) - has_after(b, cost)) for a, b in pairs])


def _saved(table, replays):
    """Share of the epochs of our halving that need not be trained since a schedule goes on: of all, by family."""
    trained, whole = collections.Counter(), collections.Counter()
    for number in range(replays):
        for rung, configuration, _, epochs in halved(table, *drawn(table, number)):
            for name in ("all", table.family[configuration]):
                trained[name] += epochs
                whole[name] += table.budgets[two_rungs(table)[rung]]
    return {name: 1 - trained[name] / whole[name] for name in sorted(whole)}


def _saved_at_all_budgets(table):
    """The same of a configuration that is trained for each budget, whatever its scores: by family."""
    trained, whole = collections.Counter(), collections.Counter()
    for (configuration, _), ways in table.ours.items():
        trained[table.family[configuration]] += sum(epochs for _, _, epochs in ways.values())
        whole[table.family[configuration]] += sum(table.budgets)
    return {name: 1 - trained[name] / whole[name] for name in sorted(whole)}


def _finite(value):
    return float(value) if np.isfinite(value) else None


def main():
    found = {}
    for path in sorted(RESULTS.glob("tuning_table_*.csv")):
        with open(path, newline="") as file:
            table = Table(list(csv.DictReader(file)))
        found[path.stem.removeprefix("tuning_table_")] = compared(table, replayed(table), replayed_elsewhere(table))
    print(json.dumps(found, indent=2))
    write("tuning_replay", found)


if __name__ == "__main__":
    main()
