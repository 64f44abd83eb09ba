"""What the contenders of a comparison came to over their seeds."""

import math
import statistics

from recipes import training
from recipes.tuning.objective import objective_of

MEDIANS = (
    *("learning_rate", "epochs", "passes", "updates", "evaluations", "seconds", "images"),
    *("peak_mib", "clipped_share", "skipped_updates"),
)


def summarised(recipe, rows):
    """Means and intervals of score and loss, medians of the rest.

    Args:
        recipe: `recipes.recipe.Recipe`.
        rows: list of dicts, as `recipes.comparison.rows_of` gives them.

    Returns:
        A list of dicts, one for each contender, the best first.
    """
    of = {}
    for row in rows:
        of.setdefault(row["contender"], []).append(row)
    found = [_summary(label, mine, training.is_share(recipe)) for label, mine in of.items()]
    sign = -1 if objective_of(recipe)[1] == "max" else 1
    return sorted(found, key=lambda row: (math.isnan(row["mean"]), sign * row["mean"]))


def _summary(label, rows, bounded):
    cost = {name: _median([row[name] for row in rows]) for name in rows[0] if "_to_target" in name}
    return {
        "contender": label,
        "n": len(rows),
        **_scores([row["score"] for row in rows], bounded),
        **_losses([row["loss"] for row in rows]),
        **{name: _median([row[name] for row in rows]) for name in MEDIANS},
        **cost,
        "diverged": sum(row["diverged"] for row in rows),
        "rate_is": rows[0]["rate_is"],
    }


def _scores(scores, bounded):
    """Mean of the scores, and of several how they scatter; NaN alone if training diverged with one of the seeds."""
    finite = all(map(math.isfinite, scores))
    mean, deviation, low, high = _interval(scores, bounded) if finite else (math.nan, None, None, None)
    return {"mean": mean, "standard_deviation": deviation, "low": low, "high": high}


def _losses(losses):
    """Mean of the test losses and its interval; nothing where one is not there."""
    mean, _, low, high = (None,) * 4 if None in losses else _interval(losses)
    return {"loss": mean, "loss_low": low, "loss_high": high}


def _interval(values, is_share=False):
    """Mean, standard deviation and interval, as `training.interval` gives them; the mean alone of a single value."""
    return training.interval(values, is_share) if len(values) > 1 else (values[0], None, None, None)


def _median(values):
    """The median, whole if it is; None where a value is not there: a target that was not reached has no cost."""
    if any(value is None for value in values):
        return None
    middle = statistics.median(values)
    return int(middle) if middle == int(middle) else middle
