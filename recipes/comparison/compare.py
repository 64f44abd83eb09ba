import dataclasses
import datetime
import functools
import math
import statistics

from recipes.comparison.contenders import OF_OPTIMIZERS
from recipes.comparison.verdict import verdicts
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras
from recipes.machine.environment import machine, versions
from recipes.machine.leaving import cleaned_up
from recipes.run.run import Run, figure, may_be_damaged, read_json
from recipes.run.tables import rows_of, table
from recipes.training.fit import DIVERGED
from recipes.training.seeds import interval
from recipes.training.train import computing, recipe_name
from recipes.tuning.tune import declare, stop_where_another_search_is, with_validation

WIDER = 4.0  # than a range test says, by this factor at each end
TIMED = 10  # epochs at most, whose median is what an epoch takes, for a budget of seconds
SHARE = 0.25  # of such a budget, at most, that they may take, but for two


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Args:
        contenders: tuple of `recipes.comparison.contenders.Contender`.
        budget: `recipes.comparison.budget.Budget` of each training.
        seeds: int >= 1, trainings of each contender with the learning rate that was found for it.
        trials: int >= 1, trainings of its search for that.
        target: float, score on the validation part whose cost is told; None for none.
        workers: int, trainings at a time.
    """

    contenders: tuple
    budget: object
    seeds: int = 3
    trials: int = 8
    target: float | None = None
    workers: int = 1

    def __post_init__(self):
        for name, least in (("seeds", 1), ("trials", 1), ("workers", 1)):
            if not least <= getattr(self, name) <= 1024:
                raise CommandError(f"--{name} must lie in {least} to 1024; it is {getattr(self, name)}")


def compare(recipe, settings, comparison, run_dir=None, *, strategy="auto", dtype=None, data_dir=None):
    """Train contenders with equal budgets, each with a learning rate that was searched for it.

    Args:
        recipe: module of the recipe.
        settings: its `Settings`, of all contenders but for what is their own.
        comparison: `Comparison`.
        run_dir, strategy, dtype, data_dir: as for `train`.

    Returns:
        `(rows, run)`: a list of dicts, one for each training with a seed; the directory.
    """
    settings = with_validation(recipe, settings)
    for contender in comparison.contenders:
        settings_of(settings, contender)  # what cannot be is told before anything is trained
    extra = {**computing(recipe, settings, strategy, dtype), **_described(comparison)}
    with Run(recipe_name(recipe), settings, run_dir, extra) as run:
        start_keras(strategy, recipe.DTYPE, touch=False)
        run.begin_group()
        return _compared(recipe, settings, comparison, run, strategy, dtype, data_dir), run


def settings_of(settings, contender):
    """The settings of a contender; a CommandError if they cannot be."""
    of_optimizers = {field.name: field.default for field in dataclasses.fields(settings) if field.name in OF_OPTIMIZERS}
    try:
        return dataclasses.replace(settings, **{**of_optimizers, **contender.settings})
    except CommandError as error:
        raise CommandError(f"{contender.label}: {error}") from error


def _described(comparison):
    contenders = {contender.label: contender.settings for contender in comparison.contenders}
    return {
        "contenders": contenders,
        "budget": str(comparison.budget),
        "seeds": comparison.seeds,
        "trials": comparison.trials,
        "target": comparison.target,
    }


def _compared(recipe, settings, comparison, run, strategy, dtype, data_dir):
    from recipes.tuning import Place, RecipeHyperModel, work
    from recipes.workers.processes import Processes

    place = Place(strategy, dtype, data_dir)
    shared = RecipeHyperModel(recipe, "learning_rate", settings, data_dir=data_dir)
    with Processes(work.Shared(shared, place), strategy, recipe.DTYPE) as processes:
        processes.share(work.look)
        for contender in comparison.contenders:
            found = _searched(recipe, settings_of(settings, contender), contender, comparison, run, place, processes)
            _train_seeds(found, contender, comparison, run, processes)
    return [
        _row(recipe, contender, run.directory / slug(contender.label) / f"seed-{seed}", comparison.target)
        for contender in comparison.contenders
        for seed in seeds_of(settings, comparison)
    ]


def seeds_of(settings, comparison):
    """The seeds of the trainings, none of which is that of the search."""
    return range(settings.seed + 1, settings.seed + 1 + comparison.seeds)


def _searched(recipe, settings, contender, comparison, run, place, processes):
    """The contender's settings with the epochs of its budget and the best learning rate that its search has found."""
    from recipes.tuning import RecipeHyperModel, StorageOracle, Tuner
    from recipes.tuning.progress import Progress
    from recipes.tuning.space import Facts

    with stop_where_another_search_is():
        oracle = StorageOracle(
            f"sqlite:///{(run.directory / 'search.db').resolve()}".replace("%", "%25").replace("?", "%3F"),
            _objective(recipe),
            comparison.trials,
            study=contender.label,
            sampler="line",
            seed=settings.seed,
        )
    with cleaned_up(oracle.close):
        pace = oracle.recall("pace", functools.partial(_pace, settings, comparison, processes))
        epochs = comparison.budget.epochs(pace["updates"], pace["seconds"])
        settings = dataclasses.replace(settings, epochs=epochs)
        low, high = oracle.recall("rates", functools.partial(_rates, settings, processes))
        plan = f"{epochs} epochs of {pace['updates']:g} updates"
        print(f"{contender.label}: {plan}; learning rates from {low:.2g} to {high:.2g}", flush=True)
        hypermodel = RecipeHyperModel(recipe, f"learning_rate={low}:{high}", settings, Facts(), place.data_dir)
        declare(hypermodel, oracle)
        where = (run.directory / slug(contender.label)).resolve()
        watch = Progress(comparison.workers, oracle.objective, hypermodel.given, oracle.trials.values())
        options = {"workers": comparison.workers, "place": place, "watch": watch, "processes": processes}
        Tuner(hypermodel, oracle, directory=where, project_name="search", **options).search()
        best = oracle.get_best_trials()[0]
        if best.status != "COMPLETED":
            raise WorldError(f"{contender.label}: no learning rate from {low:.2g} to {high:.2g} trains; {best.message}")
        return hypermodel.settings_of(best.hyperparameters)


def _objective(recipe):
    import keras_tuner

    name, direction = next(iter(recipe.OBJECTIVES.items()))
    return keras_tuner.Objective(name, direction)


def _pace(settings, comparison, processes):
    """Updates of an epoch, and its seconds if they matter, on the cores that a training has."""
    from recipes.tuning import work
    from recipes.workers.processes import cores_of

    budget = comparison.budget
    limit = SHARE * budget.amount if budget.kind == "seconds" else None
    timed = functools.partial(work.pace, settings=dataclasses.replace(settings, epochs=TIMED), limit=limit)
    return processes.call(timed, cores_of(comparison.workers)[0])


def _rates(settings, processes):
    from recipes.tuning import work

    optimizer = getattr(settings, "optimizer", None)
    found = processes.call(functools.partial(work.find_rates, optimizer=optimizer, settings=settings))
    return [found["low"] / WIDER, found["high"] * WIDER]


def _train_seeds(settings, contender, comparison, run, processes):
    """Train with each seed that is not done, `workers` at a time."""
    from recipes.tuning import work
    from recipes.workers.processes import cores_of, gpus_of

    base = dataclasses.replace(settings, seed=settings.seed)
    waiting = [seed for seed in seeds_of(base, comparison) if _result(run, contender, seed) is None]
    slots, running = list(range(comparison.workers)), {}
    while waiting or running:
        while waiting and slots:
            seed, slot = waiting.pop(0), slots.pop(0)
            directory = run.directory / slug(contender.label) / f"seed-{seed}"
            start = functools.partial(
                work.train_run, settings=dataclasses.replace(settings, seed=seed), directory=directory
            )
            cores, gpus = cores_of(comparison.workers)[slot], gpus_of(comparison.workers)[slot]
            processes.start(seed, start, directory.with_suffix(".txt"), cores, gpus)
            running[seed] = slot
        for ended in processes.ended(0.25):
            slots.append(running.pop(ended.number))
            if ended.error is not None:
                raise WorldError(f"{contender.label}, seed {ended.number}: {ended.error}")
            if ended.answer["peak"] is not None:
                run.write_json(f"{slug(contender.label)}/seed-{ended.number}/memory.json", ended.answer)
            print(f"{contender.label}: seed {ended.number} is trained", flush=True)


def _result(run, contender, seed):
    return read_json(run.directory / slug(contender.label) / f"seed-{seed}" / "result.json")


def _row(recipe, contender, directory, target):
    """What a training with a seed came to, a dict."""
    result, config = read_json(directory / "result.json"), read_json(directory / "config.json")
    with may_be_damaged(directory):
        return _figures(recipe, contender, directory, target, result, config)


def _figures(recipe, contender, directory, target, result, config):
    curve = _curve(directory)
    last = curve[-1]
    return {
        "contender": contender.label,
        "seed": figure(config, "seed"),
        "learning_rate": figure(config, "learning_rate"),
        "score": math.nan if result[recipe.SCORE] is None else figure(result, recipe.SCORE),
        "resolution": 1 / figure(result, "test_images") if _is_share(recipe) else 0.0,
        "loss": None if result.get("test_loss") is None else figure(result, "test_loss"),
        "diverged": result["outcome"] == DIVERGED,
        "epochs": figure(result, "epochs"),
        "updates": figure(result, "updates"),
        "seconds": figure(result, "training_seconds"),
        "images": result["epochs"] * _trained_on(config),
        "peak_mib": _peak(directory),
        "clipped_share": _number(last.get("clipped_share")),
        "skipped_updates": _number(last.get("skipped_updates")),
        **_cost(recipe, curve, result, target),
        "curve": curve,
    }


def _is_share(recipe):
    """Whether the score is a share of test images: it has steps, and lies between 0 and 1."""
    return recipe.SCORE.endswith("accuracy")


def _trained_on(config):
    about = config["trained_on"]
    return figure(about, "train" if "train" in about else "samples")


def _peak(directory):
    recorded = read_json(directory / "memory.json")
    return None if recorded is None else figure(recorded, "peak")


def _curve(directory):
    """Rows of metrics.csv with `seconds`, of training until then."""
    rows = rows_of(directory / "metrics.csv")
    times = [float(row["seconds"]) for row in rows_of(directory / "timing.csv")]
    return [{**row, "seconds": sum(times[: i + 1])} for i, row in enumerate(rows)]


def _cost(recipe, curve, result, target):
    """Epochs, updates and seconds until the validation score first reached the target."""
    if target is None:
        return {}
    name, direction = next(iter(recipe.OBJECTIVES.items()))
    sign = 1 if direction == "max" else -1
    reached = next((i for i, row in enumerate(curve) if sign * float(row.get(name, "nan")) >= sign * target), None)
    if reached is None:
        return {"epochs_to_target": None, "updates_to_target": None, "seconds_to_target": None}
    epochs = reached + 1
    updates = round(result["updates"] * epochs / result["epochs"])
    return {"epochs_to_target": epochs, "updates_to_target": updates, "seconds_to_target": curve[reached]["seconds"]}


def _number(text):
    return None if text in (None, "") else float(text)


def slug(label):
    """A label as the name of a directory."""
    return "".join(c if c.isalnum() or c in "-_.=" else "_" for c in label)


def summarised(recipe, rows):
    """A dict for each contender, the best first: means and intervals of score and loss, medians of the rest."""
    sign = -1 if next(iter(recipe.OBJECTIVES.values())) == "max" else 1
    of = {}
    for row in rows:
        of.setdefault(row["contender"], []).append(row)
    found = [_summary(label, mine, _is_share(recipe)) for label, mine in of.items()]
    return sorted(found, key=lambda row: (math.isnan(row["mean"]), sign * row["mean"]))


def _summary(label, rows, is_share):
    scores = [row["score"] for row in rows]
    mean, deviation, low, high = interval(scores) if len(scores) > 1 else (scores[0], None, None, None)
    if is_share and low is not None:
        low, high = max(low, 0.0), min(high, 1.0)
    middle = {
        name: _plain(statistics.median(row[name] for row in rows))
        for name in ("learning_rate", "epochs", "updates", "seconds", "images")
    }
    some = {name: _median([row.get(name) for row in rows]) for name in ("peak_mib", "clipped_share", "skipped_updates")}
    cost = {name: _median([row[name] for row in rows]) for name in rows[0] if name.endswith("_to_target")}
    about = {
        "contender": label,
        "n": len(rows),
        "mean": mean,
        "standard_deviation": deviation,
        "low": low,
        "high": high,
    }
    return {**about, **_losses(rows), **middle, **some, **cost, "diverged": sum(row["diverged"] for row in rows)}


def _losses(rows):
    """Mean of the test losses and its interval, as far as there are losses and several seeds."""
    losses = [row["loss"] for row in rows]
    if None in losses:
        return {"loss": None, "loss_low": None, "loss_high": None}
    mean, _, low, high = interval(losses) if len(losses) > 1 else (losses[0], None, None, None)
    return {"loss": mean, "loss_low": low, "loss_high": high}


def _plain(number):
    """A median of whole numbers as one, where it is one."""
    return int(number) if number == int(number) else number


def _median(values):
    """None where one is not there: a target that was not reached has no cost."""
    return None if any(value is None for value in values) else statistics.median(values)


def report(recipe, comparison, rows, run):
    """Print who is how good for how much and what of it is noise; leave tables and pictures in the run directory."""
    from recipes.report import comparison as pictures

    contenders = summarised(recipe, rows)
    scores = {row["contender"]: [r["score"] for r in rows if r["contender"] == row["contender"]] for row in contenders}
    found = verdicts(scores, rows[0]["resolution"])
    flat = [{name: value for name, value in row.items() if name != "curve"} for row in rows]
    run.write("seeds.csv", lambda part: part.write_text(table(flat)))
    run.write("comparison.csv", lambda part: part.write_text(table(contenders)))
    print("\n" + as_text(recipe, contenders, comparison.target))
    for row in contenders:
        if row["diverged"]:
            print(f"{row['contender']} diverged with {row['diverged']} of {row['n']} seeds.")
    for line in noise_lines(contenders, found):
        print(line)
    name = next(iter(recipe.OBJECTIVES))
    if all(name in each for row in rows for each in row["curve"]):  # not a recipe that logs nothing of the kind
        with may_be_damaged(run.directory):
            picture = pictures.against(rows, name)
        run.write("comparison.png", picture.savefig)
        print(f"\n{run.directory / 'comparison.png'}")
    about = {"date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions()}
    about |= _described(comparison)
    differences = [{"a": a, "b": b, **each} for (a, b), each in found.items()]
    run.finish({**about, "score": recipe.SCORE, "means": contenders, "differences": differences})


def as_text(recipe, contenders, target):
    """The contenders as a table of text."""
    lines = cells_of(recipe, contenders, target)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def cells_of(recipe, contenders, target):
    """The contenders as lists of text, names of columns first."""
    columns = {
        "contender": lambda row: row["contender"],
        "rate": lambda row: f"{row['learning_rate']:.3g}",
        recipe.SCORE: lambda row: _with_interval(row["mean"], row["low"], row["high"], 4),
        "loss": lambda row: _with_interval(row["loss"], row["loss_low"], row["loss_high"], 3),
        "updates": lambda row: f"{row['updates']:g}",
        "epochs": lambda row: f"{row['epochs']:g}",
        "seconds": lambda row: f"{row['seconds']:.1f}",
        "images": lambda row: f"{row['images']:g}",
        "MiB": lambda row: _short(row["peak_mib"]),
        "clipped": lambda row: _short(row["clipped_share"]),
        "skipped": lambda row: _short(row["skipped_updates"]),
    }
    if target is not None:
        columns[f"seconds to {target:g}"] = lambda row: _short(row["seconds_to_target"])
    return [list(columns), *([of(row) for of in columns.values()] for row in contenders)]


def _with_interval(mean, low, high, digits):
    if mean is None:
        return "-"
    if low is None:
        return f"{mean:.{digits}g}"
    return f"{mean:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def _short(value):
    return "-" if value is None else f"{value:.3g}"


def noise_lines(contenders, found):
    """Lines that say which differences are within noise."""
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
