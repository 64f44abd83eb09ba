"""What the trainings of a comparison came to, one dict for each seed of each contender."""

import math

from recipes import run as runs
from recipes import training
from recipes.settings.beside_search import has_line_search
from recipes.tuning.objective import objective_of


def rows_of(recipe, comparison, directory, tried=None):
    """What each training came to.

    Args:
        recipe: `recipes.recipe.Recipe`, from which all contenders begin.
        comparison: `Comparison`.
        directory: of the comparison.
        tried: dict from labels to lists of dicts, a row with the `learning_rate` of each trial of its search.

    Returns:
        A list of dicts.

    Raises:
        WorldError: a training is not there, or its files are damaged.
    """
    rows = [
        _row(contender, runs.directory_of_seed(directory / contender.directory, seed), comparison)
        for contender in comparison.contenders
        for seed in comparison.seeds_of(recipe)
    ]
    resolution = next((row["resolution"] for row in rows if row["resolution"] is not None), 0.0)
    return [{**row, "resolution": resolution, "rate_is": _end_of(row, tried or {})} for row in rows]


def _end_of(row, tried):
    """Which of the rates that were tried that of a row is: "only", "lowest" or "highest"; None if it is in between."""
    rates, rate = [each["learning_rate"] for each in tried.get(row["contender"], ())], row["learning_rate"]
    if len(rates) <= 1:
        return "only" if rates else None
    return "lowest" if rate <= min(rates) else "highest" if rate >= max(rates) else None


def _row(contender, directory, comparison):
    found = runs.read_directory(directory)
    with runs.may_be_damaged(directory):
        return {"contender": contender.label, **_figures(found, comparison)}


def _figures(found, comparison):
    """What a run came to.

    Args:
        found: `recipes.run.Directory`.
        comparison: `Comparison`, with the targets whose costs are told.
    """
    recipe, result, curve = found.recipe, found.result, _curve(found.directory)
    last = curve[-1] if curve else {}  # training may diverge within its first epoch
    passes = result["epochs"] * recipe.passes
    return {
        "seed": recipe.seed,
        "learning_rate": None if has_line_search(recipe) else recipe.learning_rate,
        **_judged(recipe, result),
        "epochs": runs.finite_number(result, "epochs"),
        "updates": runs.finite_number(result, "updates"),
        "evaluations": _number(last.get("evaluations")),
        "seconds": runs.finite_number(result, "training_seconds"),
        "passes": passes,
        "images": passes * _trained_on(found.config["trained_on"]),
        "peak_mib": runs.peak_memory_of(found.directory),
        "clipped_share": _number(last.get("clipped_share")),
        "skipped_updates": _number(last.get("skipped_updates")),
        **_cost(recipe, curve, result, comparison),
        "curve": curve,
    }


def _judged(recipe, result):
    """How good the trained model is; nothing is judged where training diverged."""
    if result["outcome"] == training.DIVERGED:
        return {"score": math.nan, "resolution": None, "loss": None, "diverged": True}
    return {
        "score": math.nan if result[recipe.score] is None else runs.finite_number(result, recipe.score),
        "resolution": _resolution(recipe, result),
        "loss": None if result.get("test_loss") is None else runs.finite_number(result, "test_loss"),
        "diverged": False,
    }


def _resolution(recipe, result):
    """The smallest difference that two scores can have; 0 where it is not known."""
    return (
        1 / runs.finite_number(result, "test_images") if training.is_share(recipe) and "test_images" in result else 0.0
    )


def _trained_on(about):
    return runs.finite_number(about, "train" if "train" in about else "samples")


def _curve(directory):
    """Rows of metrics.csv with `seconds`, of training until then."""
    rows, times = runs.metrics_of(directory), runs.seconds_of(directory)
    return [{**row, "seconds": sum(times[: i + 1])} for i, row in enumerate(rows)]


def _cost(recipe, curve, result, comparison):
    """What it took until the validation score, and the training loss, first reached their targets."""
    score, loss = (*objective_of(recipe), comparison.target), ("loss", "min", comparison.target_loss)
    return {
        f"{what}_to_{of}": value
        for of, (name, direction, target) in {"target": score, "target_loss": loss}.items()
        if target is not None
        for what, value in _until(recipe, curve, result, _reached(curve, name, direction, target)).items()
    }


def _reached(curve, name, direction, target):
    """After how many epochs a column of the log was at a target for the first time; None if it never was."""
    sign = 1 if direction == "max" else -1
    at = (epoch for epoch, row in enumerate(curve, 1) if sign * float(row.get(name, "nan")) >= sign * target)
    return next(at, None)


def _until(recipe, curve, result, epochs):
    """What so many epochs took; None for what was not reached. In full batches each pass is an evaluation."""
    if epochs is None:
        return dict.fromkeys(("epochs", "passes", "updates", "seconds"))
    seconds = curve[epochs - 1]["seconds"]
    updates = _updates_until(curve, epochs, result)
    return {"epochs": epochs, "passes": epochs * recipe.passes, "updates": updates, "seconds": seconds}


def _updates_until(curve, epochs, result):
    """The updates of the first epochs: as many in each, but where a line search takes as many passes as it needs."""
    if "evaluations" in curve[epochs - 1]:
        return round(float(curve[epochs - 1]["updates"]))
    return round(result["updates"] * epochs / result["epochs"])


def _number(text):
    return None if text in (None, "") else float(text)
