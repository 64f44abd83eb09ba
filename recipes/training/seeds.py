import dataclasses
import datetime
import pathlib
import statistics

from recipes import training
from recipes.errors import CommandError, WorldError
from recipes.machine import strategies
from recipes.machine.backend import start_keras
from recipes.machine.environment import machine, versions
from recipes.run.contents import config_of
from recipes.run.files import finite_number, may_be_damaged, write_file
from recipes.run.names import RESULT, SEEDS
from recipes.run.run import Run
from recipes.run.seed_directories import directory_of_seed
from recipes.run.tables import rows_of, table
from recipes.training.computing import computing
from recipes.training.outcomes import DIVERGED
from recipes.training.train import train


def train_seeds(recipe, seeds, run_dir=None, results="results", *, strategy="auto", dtype=None, ended=None, **places):
    """Train a recipe with several seeds, one run each, and record the mean of their scores and how they scatter.

    The runs are in RUN_DIR/seed-K, K from `recipe.seed` up, and can go on like any other run. RUN_DIR/seeds.csv has a
    row for each run. A row with the mean, the standard deviation, the 95 % interval of the mean (Student's t), hardware
    and versions is added to RESULTS/RECIPE.csv.

    Args:
        recipe: as for `train`.
        seeds: int >= 2.
        run_dir: by default as for `train`.
        results: directory of the tables that rows are added to.
        strategy, dtype: as for `train`.
        ended: function that is called after each run, with its directory.
        places: `data_dir`, `download` and `verbose`, as for `train`.

    Returns:
        `(row, directory)`, the row a dict.
    """
    last = recipe.seed + seeds - 1
    if last >= 2**32:
        raise CommandError(f"--seeds {seeds}: the last seed would be {last}; seeds lie in 0 to 4294967295")
    if strategies.is_one_of_several():
        raise CommandError("--seeds trains in one process; several were asked for by KERAS_DISTRIBUTION_…")
    extra = {"seeds": seeds, **computing(recipe, strategy, dtype)}
    with Run(recipe, run_dir, extra, kind="seeds") as run:
        row = _row_of_done(run)
        if row is None:
            start_keras(strategy, recipe.needs_float64)
            run.begin_group()
            row = _row(recipe, run, _trained(recipe, run, seeds, ended, strategy=strategy, dtype=dtype, **places))
            run.finish({"row": row})
        add_row(table_of(recipe, results), row)  # also if the run was done before: a kill may have prevented this
        return row, run.directory


def _row_of_done(run):
    """The row of averages if all seeds are trained, otherwise None."""
    if run.result is None:
        return None
    print(f"{run.directory} is done already; this is its result.")
    with may_be_damaged(run.directory / RESULT):
        return _checked(run.result["row"])


def _trained(recipe, run, seeds, ended, **options):
    """Train with each seed. Returns the results, a list of dicts.

    Raises:
        WorldError: training diverged with a seed.
    """
    rows = []
    for number, seed in enumerate(range(recipe.seed, recipe.seed + seeds), 1):
        print(f"Seed {seed}, {number} of {seeds}:", flush=True)
        directory = directory_of_seed(run.directory, seed)
        result, _ = train(dataclasses.replace(recipe, seed=seed), directory, **options)
        with may_be_damaged(directory / RESULT):
            rows.append({"seed": seed, **_of_seed(recipe, result)})
        if ended:
            ended(directory)
        _forget_model()
    diverged = [row["seed"] for row in rows if row["outcome"] == DIVERGED]
    if diverged:
        raise WorldError(
            f"training diverged with seed {diverged[0]}; see {directory_of_seed(run.directory, diverged[0])}"
        )
    return rows


def _row(recipe, run, rows):
    """Write seeds.csv. Returns the row of averages, a dict."""
    run.write_table(SEEDS, rows)
    first = config_of(directory_of_seed(run.directory, recipe.seed))
    computed = {name: first[name] for name in ("backend", "strategy", "dtype")}
    return {
        **_described(recipe, len(rows)),
        **computed,
        **_statistics(rows, recipe.score, training.is_share(recipe)),
        **_circumstances(rows),
    }


def _of_seed(recipe, result):
    """The result of a seed. Raises a ValueError or a KeyError if it is damaged."""
    if result["outcome"] != DIVERGED:
        for name in (recipe.score, "updates", "training_seconds"):
            finite_number(result, name)
    return {name: value for name, value in result.items() if name != "of"}


def _checked(row):
    """A row of averages. Raises a ValueError or a KeyError if it is damaged."""
    for name in ("n", "mean", "standard_deviation", "low", "high"):
        finite_number(row, name)
    return row


def table_of(recipe, results):
    """The path of the table to which a recipe's averages are added."""
    return pathlib.Path(results, f"{recipe.name().replace(':', '.')}.csv")


def add_row(path, row):
    """Add a row to a CSV file unless the file has it. New columns are added to all rows."""
    rows = rows_of(path)
    if rows and not row.keys() & rows[0].keys():
        raise WorldError(f"{path} is no table of averages, so nothing was added to it; give another --results")
    written = {name: "" if value is None else str(value) for name, value in row.items()}
    if any(written.items() <= each.items() for each in rows):
        return
    write_file(path, lambda part: part.write_text(table([*rows, row])))


def _described(recipe, seeds):
    settings = {name: value for name, value in dataclasses.asdict(recipe).items() if name != "seed"}
    return {"recipe": recipe.name(), "n": seeds, "first_seed": recipe.seed} | settings


def _statistics(rows, score, is_share):
    names = ("mean", "standard_deviation", "low", "high")
    values = training.interval([row[score] for row in rows], is_share)
    return {"score": score, **{name: float(f"{value:.6g}") for name, value in zip(names, values, strict=True)}}


def _circumstances(rows):
    return {
        "updates": round(statistics.mean(row["updates"] for row in rows)),
        "median_training_seconds": statistics.median(row["training_seconds"] for row in rows),
        "date": datetime.date.today().isoformat(),
        **machine(),
        **versions(),
    }


def _forget_model():
    """Clear Keras's names and graphs, which otherwise would be those of the next run too."""
    import keras

    keras.utils.clear_session()
