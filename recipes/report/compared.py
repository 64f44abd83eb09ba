"""What is told at the end of a comparison, and left in its directory."""

import datetime

from recipes import run as runs
from recipes.comparison.summary import summarised
from recipes.comparison.verdict import verdicts
from recipes.machine.environment import machine, versions
from recipes.report.pictures import comparison as pictures
from recipes.tuning.objective import objective_of

BETTER = {  # where a better rate may lie than one that is at an end of those that were tried
    "lowest": "below it, or between it and the next",
    "highest": "above it, or between it and the one before",
    "only": "elsewhere",
}
MISSED = 0.25  # of a budget of seconds: what is missed by more is told


def report_comparison(recipe, comparison, rows, run):
    """Print who is how good for how much and what of it is noise; leave tables and a picture in the run directory.

    Args:
        recipe, comparison: as for `recipes.comparison.compare`.
        rows, run: what it returns.
    """
    contenders = summarised(recipe, rows)
    scores = {row["contender"]: [r["score"] for r in rows if r["contender"] == row["contender"]] for row in contenders}
    found = verdicts(scores, rows[0]["resolution"])
    _write_tables(rows, contenders, run)
    print("\n" + as_text(recipe, contenders, comparison.target, comparison.target_loss))
    lines = [*_diverged_lines(contenders), *budget_lines(contenders, comparison.budget), *end_lines(contenders)]
    lines += target_lines(recipe, rows, comparison.target)
    for line in [*lines, *noise_lines(contenders, found)]:
        print(line)
    _write_picture(recipe, rows, run)
    _write_rates(recipe, rows, run)
    about = {"date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions()}
    about |= comparison.described()
    differences = [{"a": a, "b": b, **each} for (a, b), each in found.items()]
    run.finish({**about, "score": recipe.score, "means": contenders, "differences": differences})


def _write_tables(rows, contenders, run):
    flat = [{name: value for name, value in row.items() if name != "curve"} for row in rows]
    run.write_table(runs.names.SEEDS, flat)
    run.write_table(runs.names.COMPARISON, contenders)


def _diverged_lines(contenders):
    for row in contenders:
        if row["diverged"]:
            yield f"{row['contender']} diverged with {row['diverged']} of {row['n']} seeds."


def _write_picture(recipe, rows, run):
    """Draw the objective of the validation part, unless the recipe logs nothing of the kind."""
    name, _ = objective_of(recipe)
    drawn = [row for row in rows if row["curve"]]  # training may diverge within its first epoch
    if not drawn or not all(name in each for row in drawn for each in row["curve"]):
        return
    with runs.may_be_damaged(run.directory):
        picture = pictures.against(drawn, name)
    run.write(runs.names.COMPARISON_PICTURE, picture.savefig)
    print(f"\n{run.directory / runs.names.COMPARISON_PICTURE}")


def _write_rates(recipe, rows, run):
    """Draw what each learning rate came to, unless no contender has one."""
    tried, best = rates_of(run.directory), {row["contender"]: row["learning_rate"] for row in rows}
    if tried:
        run.write(runs.names.RATES_PICTURE, pictures.rates(tried, *objective_of(recipe), best).savefig)
        print(f"{run.directory / runs.names.RATES_PICTURE}")


def rates_of(directory):
    """What each learning rate that was tried in a comparison came to, as `pictures.rates` takes it: a list of dicts.

    Args:
        directory: of the comparison; one of an older version has none.
    """
    with runs.may_be_damaged(directory / runs.names.RATES):
        return [
            {
                "contender": row["contender"],
                "learning_rate": float(row["learning_rate"]),
                "score": float(row["score"]) if row["score"] else None,
            }
            for row in runs.rows_of(directory / runs.names.RATES)
        ]


def as_text(recipe, contenders, target, target_loss=None):
    """The contenders as a table of text."""
    lines = cells_of(recipe, contenders, target, target_loss)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def cells_of(recipe, contenders, target, target_loss=None):
    """The contenders as lists of text, names of columns first.

    Args:
        recipe: `recipes.recipe.Recipe`, or its class.
        contenders: list of dicts, as `recipes.comparison.summarised` gives them.
        target, target_loss: floats, the score and the training loss whose costs are told; None for none.
    """
    columns = {
        "contender": lambda row: row["contender"],
        "rate": _rate,
        recipe.score: lambda row: _with_interval(row["mean"], row["low"], row["high"], 4),
        "loss": lambda row: _with_interval(row["loss"], row["loss_low"], row["loss_high"], 3),
        "updates": _updates,
        "epochs": lambda row: f"{row['epochs']:g}",
        "seconds": lambda row: f"{row['seconds']:.1f}",
        "images": lambda row: f"{row['images']:g}",
        "MiB": lambda row: _short(row["peak_mib"]),
        "clipped": lambda row: _short(row["clipped_share"]),
        "skipped": lambda row: _short(row["skipped_updates"]),
    }
    if target is not None:
        columns |= _cost_of("target", f"{target:g}")
    if target_loss is not None:
        columns |= _cost_of("target_loss", f"a loss of {target_loss:g}")
    return [list(columns), *([of(row) for of in columns.values()] for row in contenders)]


def _rate(row):
    """The learning rate, with a star where the search has ended at an end of what it has tried."""
    if row["learning_rate"] is None:
        return "line search"
    return f"{row['learning_rate']:.3g}" + ("*" if row.get("rate_is") else "")


def end_lines(contenders):
    """Lines that say which learning rates are at an end of those that were tried.

    Args:
        contenders: list of dicts, as `recipes.comparison.summarised` gives them; of older versions without `rate_is`.
    """
    for row in contenders:
        if row.get("rate_is"):
            yield (
                f"* {row['contender']}: {row['learning_rate']:.3g} is the {row['rate_is']} learning rate that was "
                f"tried; a better one may lie {BETTER[row['rate_is']]}, so give more --trials."
            )


def target_lines(recipe, rows, target):
    """A line for a target whose costs are not known, since the score is not logged after each epoch.

    Args:
        recipe: `recipes.recipe.Recipe`.
        rows: list of dicts with `curve`, as `recipes.comparison.compare` gives them.
        target: float, or None.
    """
    name, _ = objective_of(recipe)
    if target is not None and not any(name in each for row in rows for each in row["curve"]):
        yield f"--target {target:g}: {recipe.name()} has {name} only at the end, so what it took is not known."


def budget_lines(contenders, budget):
    """Lines that say which trainings have missed a budget of seconds by more than a quarter.

    Args:
        contenders: list of dicts, as `recipes.comparison.summarised` gives them.
        budget: `recipes.comparison.Budget`.
    """
    if budget.kind != "seconds":
        return
    for row in contenders:
        if abs(row["seconds"] / budget.amount - 1) > MISSED:
            yield (
                f"{row['contender']} took {row['seconds']:.1f} of {budget.amount:g} seconds: it has whole epochs, as "
                "many as a measurement before the search allowed."
            )


def _cost_of(target, words):
    """The columns of what a target has cost; "?" in comparisons of older versions, which do not have it."""
    return {
        f"{name} to {words}": lambda row, key=f"{name}_to_{target}": _short(row[key]) if key in row else "?"
        for name in ("passes", "seconds")
    }


def _updates(row):
    """How many updates there were, and how many evaluations a line search has taken for them."""
    evaluations = row.get("evaluations")  # which comparisons of older versions do not have
    return f"{row['updates']:g}" + ("" if evaluations is None else f" of {evaluations:g} evaluations")


def _with_interval(mean, low, high, digits):
    if mean is None:
        return "-"
    if low is None:
        return f"{mean:.{digits}g}"
    return f"{mean:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def _short(value):
    return "-" if value is None else f"{value:.3g}"


def noise_lines(contenders, found):
    """Lines that say which differences are within noise.

    Args:
        contenders: list of dicts, as `recipes.comparison.summarised` gives them.
        found: dict, as `recipes.comparison.verdicts` gives it.
    """
    if not found:
        return
    if all(each["p"] is None for each in found.values()) and not any(row["diverged"] for row in contenders):
        yield "\nOne seed: no difference is more than noise can make; give --seeds 3 or more."
        return
    yield "\nWithin noise of each other (paired t-test over the seeds, Holm, 5 %):"
    for row in contenders:
        label = row["contender"]
        near = [b if a == label else a for (a, b), each in found.items() if label in (a, b) and each["within_noise"]]
        yield f"    {label}: {', '.join(near) or 'none'}"
