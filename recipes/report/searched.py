"""What is told at the end of a search, and left in its directory."""

import dataclasses

from recipes.errors import WorldError
from recipes.report.pictures import search as pictures
from recipes.run import names
from recipes.settings.fields import written
from recipes.tuning.objective import objective_of
from recipes.tuning.statuses import COMPLETED
from recipes.tuning.trial_rows import has_line_search

SHOWN = 10  # trials of the table
NO_COLUMNS = ("settings", "searched", "rates")  # of trials.csv, which has what was searched as columns of its own


def report_search(recipe, search, trials, run, **places):
    """Print the best trials, leave tables and pictures in the run directory, and finish the run.

    Args:
        recipe, search: as for `recipes.tuning.tune`.
        trials, run: what it returns.
        places: dict of `strategy`, `dtype` and `data_dir`, as they were given to it.

    Returns:
        The command that trains the best, a str.

    Raises:
        WorldError: no trial was completed.
    """
    done = [row for row in trials if row["status"] == COMPLETED]
    if not done:
        last = max(trials, key=lambda row: row["order"])["message"]
        raise WorldError(f"no trial was completed; the last: {last}; see {run.directory / 'trials'}")
    metric, _ = objective_of(recipe, search.metric)
    run.write_table(names.TRIALS, [_flat(row) for row in trials])
    print(f"\n{_counted(trials, search)}. The best:\n")
    _print_table(done[:SHOWN], metric)
    command = _command(recipe, done[0], places)
    print(f"\nThe best as a run:\n\n    {command}\n")
    _write_pictures(recipe, search, trials, run)
    _write_hparams(done, metric, run)
    best = {name: value for name, value in done[0].items() if name != "rates"}
    run.finish({"best": best, "trials": len(trials)})
    return command


def _flat(row):
    return {**{name: value for name, value in row.items() if name not in NO_COLUMNS}, **row["searched"]}


def _counted(trials, search):
    """How many trials there were, in words."""
    count = len({row["configuration"] for row in trials})
    failed = sum(row["status"] != COMPLETED for row in trials)
    end = "" if count >= search.trials else f", of which the space has no more than {count}"
    return f"{len(trials)} trials of {count} configurations{end}" + (f", {failed} failed" if failed else "")


def _print_table(rows, metric):
    names = ["trial", "epochs", metric, *rows[0]["searched"]]
    cells = [
        [row["trial"], row["epochs"], f"{row['score']:.4g}", *map(_short, row["searched"].values())] for row in rows
    ]
    widths = [max(len(str(line[i])) for line in [names, *cells]) for i in range(len(names))]
    for line in [names, *cells]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else written(value)


def _command(recipe, best, places):
    """The command that trains the best, on all images if the search alone held some out."""
    found = type(recipe)(**best["settings"])
    if "validation_split" in recipe.settings():
        found = dataclasses.replace(found, validation_split=recipe.validation_split)
    given = {name: value for name, value in places.items() if value not in (None, "auto")}
    return found.command(**given)


def _write_pictures(recipe, search, trials, run):
    metric, direction = objective_of(recipe, search.metric)
    figures = {names.PROGRESS_PICTURE: pictures.progress(trials, metric, direction)}
    rated = [row for row in trials if not has_line_search(row)]
    if {"schedule", "learning_rate"} <= recipe.settings().keys() and rated:
        figures[names.RATES_PICTURE] = pictures.rates(rated, metric, direction)
        figures[names.SCHEDULES_PICTURE] = pictures.schedules(rated, metric)
    for name, figure in figures.items():
        run.write(name, figure.savefig)
        print(f"{run.directory / name}")


def _write_hparams(rows, metric, run):
    """Show the trials that were completed on TensorBoard's page of HParams, those of other machines too."""
    for row in rows:
        values = {**row["searched"], "epochs": row["epochs"]}
        run.show_trial(row["trial"], values, {metric: row["score"]}, row["epochs"])
