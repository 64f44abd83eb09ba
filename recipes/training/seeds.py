import dataclasses
import datetime
import math
import pathlib
import statistics

from recipes.errors import CommandError, WorldError
from recipes.machine import strategies
from recipes.machine.backend import start_keras
from recipes.machine.environment import machine, versions
from recipes.run.run import Run, figure, may_be_damaged, read_json
from recipes.run.tables import rows_of, table
from recipes.training.fit import DIVERGED
from recipes.training.train import computing, recipe_name, train


def train_seeds(
    recipe, settings, seeds, run_dir=None, results="results", *, strategy="auto", dtype=None, ended=None, **places
):
    """Train a recipe with several seeds, one run each, and keep mean, deviation and interval of what they reach.

    The runs lie in RUN_DIR/seed-K, K from `settings.seed` up, and go on like any other. RUN_DIR/seeds.csv has a row
    for each; a row with the mean, the standard deviation, the 95 % interval of the mean (Student's t), hardware and
    versions is added to RESULTS/RECIPE.csv.

    Args:
        recipe, settings: as for `train`.
        seeds: int >= 2.
        run_dir: by default as for `train`.
        results: directory of the tables that rows are added to.
        strategy, dtype: as for `train`.
        ended: function that is called with the directory of each run that is done, but for those that diverged.
        places: `data_dir` and `download`, as for `train`.

    Returns:
        `(row, directory)`, the row a dict.
    """
    name = recipe_name(recipe)
    last = settings.seed + seeds - 1
    if last >= 2**32:
        raise CommandError(f"--seeds {seeds}: the last seed would be {last}; seeds lie in 0 to 4294967295")
    if strategies.is_one_of_several():
        raise CommandError("--seeds trains in one process; several were asked for by KERAS_DISTRIBUTION_…")
    extra = computing(recipe, settings, strategy, dtype)
    with Run(name, settings, run_dir, extra={"seeds": seeds, **extra}) as run:
        if run.result is not None:
            print(f"{run.directory} is done already; this is its result.")
            with may_be_damaged(run.directory / "result.json"):
                row = _checked(run.result["row"])
            add_row(table_of(recipe, results), row)  # a kill may have kept it from being added
            return row, run.directory
        start_keras(strategy, recipe.DTYPE)
        run.begin_group()
        rows = []
        for seed in range(settings.seed, settings.seed + seeds):
            result, _ = train(
                recipe,
                dataclasses.replace(settings, seed=seed),
                run.directory / f"seed-{seed}",
                strategy=strategy,
                dtype=dtype,
                **places,
            )
            with may_be_damaged(run.directory / f"seed-{seed}" / "result.json"):
                rows.append({"seed": seed, **_of_seed(recipe, result)})
            if ended and result["outcome"] != DIVERGED:
                ended(run.directory / f"seed-{seed}")
            _forget_model()
        diverged = [row["seed"] for row in rows if row["outcome"] == DIVERGED]
        if diverged:
            raise WorldError(f"training diverged with seed {diverged[0]}; see {run.directory / f'seed-{diverged[0]}'}")
        run.write("seeds.csv", lambda part: part.write_text(table(rows)))
        computed = {name: read_json(run.directory / f"seed-{settings.seed}" / "config.json")[name] for name in extra}
        row = {
            **_described(name, settings, seeds),
            **computed,
            **_statistics(rows, recipe.SCORE),
            **_circumstances(rows),
        }
        run.finish({"row": row})
        add_row(table_of(recipe, results), row)
        return row, run.directory


def report_seeds(recipe, row, directory, results):
    """Print what several seeds reached."""
    score = recipe.SCORE
    print(
        f"\n{score}: {row['mean']:.5g} ± {row['standard_deviation']:.2g} (standard deviation of {row['n']} seeds), "
        f"95 % interval of the mean {row['low']:.5g} to {row['high']:.5g}."
    )
    print(f"Each seed: {directory / 'seeds.csv'}. A row in {table_of(recipe, results)}.")


def _of_seed(recipe, result):
    """What a seed has reached; a ValueError or a KeyError if it is no result."""
    if result["outcome"] != DIVERGED:
        for name in (recipe.SCORE, "updates", "training_seconds"):
            figure(result, name)
    return {name: value for name, value in result.items() if name != "of"}


def _checked(row):
    """A row of averages; a ValueError or a KeyError if it is none."""
    for name in ("n", "mean", "standard_deviation", "low", "high"):
        figure(row, name)
    return row


def table_of(recipe, results):
    """The table that the recipe's averages are added to."""
    return pathlib.Path(results, f"{recipe_name(recipe)}.csv")


def interval(values):
    """Mean, standard deviation, and the ends of the 95 % interval of the mean (Student's t)."""
    from scipy import stats

    mean, deviation = statistics.mean(values), statistics.stdev(values)
    half = stats.t.ppf(0.975, len(values) - 1) * deviation / math.sqrt(len(values))
    return mean, deviation, mean - half, mean + half


def add_row(path, row):
    """Add a row to a CSV file unless it is there; the file is written whole, with any column that is new."""
    rows = rows_of(path)
    if rows and not row.keys() & rows[0].keys():
        raise WorldError(f"{path} is no table of averages, so nothing was added to it; give another --results")
    written = {name: "" if value is None else str(value) for name, value in row.items()}
    if any(written.items() <= each.items() for each in rows):
        return
    from callbacks.write_whole import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda part: part.write_text(table([*rows, row])))
    except OSError as error:
        raise WorldError(f"cannot write {path}: {error.strerror or error}") from error


def _described(name, settings, seeds):
    return {"recipe": name, "n": seeds, "first_seed": settings.seed} | {
        key: value for key, value in dataclasses.asdict(settings).items() if key != "seed"
    }


def _statistics(rows, score):
    names = ("mean", "standard_deviation", "low", "high")
    values = interval([row[score] for row in rows])
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
    """Names and graphs of one run must not reach the next."""
    import keras

    keras.utils.clear_session()
