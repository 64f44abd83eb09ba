"""Trials as dicts for tables and pictures, read from the database: other machines may have trained them."""

import dataclasses
import math

from recipes.settings.optimizers import chosen_in
from recipes.tuning.statuses import COMPLETED

SHOWN = 5  # configurations whose schedules are drawn


def ranked(hypermodel, oracle):
    """All trials of a search, the best first.

    Args:
        hypermodel: `RecipeHyperModel`.
        oracle: `StorageOracle`.

    Returns:
        A list of dicts, as `row_of` returns them: the best of the longest budget first, failed trials last.
    """
    by_end = sorted(oracle.trials.values(), key=lambda trial: trial.ended or math.inf)
    rows = [row_of(hypermodel, order, trial) for order, trial in enumerate(by_end)]
    sign = 1 if oracle.objective.direction == "min" else -1

    def rank(row):
        return (row["score"] is None, -row["rung"], sign * (row["score"] or 0))

    return sorted(rows, key=rank)


def row_of(hypermodel, order, trial):
    """A trial as a dict.

    Args:
        hypermodel: `RecipeHyperModel`.
        order: int, its place if all trials are sorted by the time of their end.
        trial: one of `StorageOracle.trials`.
    """
    values, searched = trial.hyperparameters.values, hypermodel.given(trial.hyperparameters)
    epochs = values.get("tuner/epochs", hypermodel.recipe.epochs)
    metrics = {name: trial.metrics.get_best_value(name) for name in trial.metrics.metrics}
    counts = {name: int(metrics[name]) for name in ("updates", "trained_epochs") if name in metrics}
    return {
        "trial": trial.trial_id,
        "order": order,
        "configuration": int(trial.trial_id.partition("-")[0]),
        "rung": values.get("tuner/round", 0),
        "epochs": epochs,
        "updates": counts.get("updates"),
        "cost": counts.get("trained_epochs", epochs),
        "status": trial.status,
        "score": trial.score if trial.status == COMPLETED else None,
        "seconds": metrics.get("training_seconds"),
        "settings": {**dataclasses.asdict(hypermodel.recipe), **searched, "epochs": epochs},
        "searched": searched,
        "message": trial.message,
    }


def has_line_search(row):
    """Whether the optimizer of a trial has found the length of its steps, so that its learning rate tells nothing.

    Args:
        row: dict, as `row_of` returns it.
    """
    chosen = chosen_in(row["settings"])
    return chosen is not None and chosen.has_line_search


def best_of_each(rows):
    """The best trial of each of the best configurations, whose schedules are drawn.

    Args:
        rows: list of dicts, as `ranked` returns them.
    """
    of_each = {}
    for row in rows:
        if row["status"] == COMPLETED:
            of_each.setdefault(row["configuration"], row)
    return list(of_each.values())[:SHOWN]
