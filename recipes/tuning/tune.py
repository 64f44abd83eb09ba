import contextlib
import dataclasses
import functools
import math
import os
import shlex
import urllib.parse

from recipes.errors import CommandError, WorldError, one_line
from recipes.machine import strategies
from recipes.machine.backend import start_keras
from recipes.machine.leaving import cleaned_up
from recipes.report.search import best_of_each
from recipes.run.run import Run
from recipes.run.tables import table
from recipes.settings.nearest import unknown
from recipes.settings.resolve import resolve
from recipes.training.train import computing, recipe_name
from recipes.tuning.halving import rungs_of
from recipes.tuning.hparams import write_hparams
from recipes.tuning.space import Facts, check, optimizers_of, parse_space

HELD_OUT = 0.1  # of the training part, where the recipe holds out nothing


def tune(recipe, settings, search, run_dir=None, *, strategy="auto", dtype=None, data_dir=None):
    """Search settings of a recipe, or go on with a search that was interrupted.

    Args:
        recipe: module of the recipe.
        settings: its `Settings`, that all trials begin from; its epochs are those of the longest trial.
        search: `Search`.
        run_dir, strategy, dtype, data_dir: as for `train`.

    Returns:
        `(trials, run)`: a list of dicts, the best first, as `recipes.report.search` takes them; the directory.

    Raises:
        CommandError, WorldError: as `Run`, and where trials fail in a row.
    """
    space = parse_space(search.space, recipe)
    settings = with_validation(recipe, settings)
    check(space, settings)
    if search.metric is not None and search.metric not in recipe.OBJECTIVES:
        raise CommandError(f"--metric: {unknown('metric', search.metric, recipe.OBJECTIVES)}")
    if strategies.is_one_of_several():
        raise CommandError("KERAS_DISTRIBUTION_… is for `train`; many machines search with the same --storage")
    if "KERASTUNER_ORACLE_IP" in os.environ:
        raise CommandError(
            "KERASTUNER_… is for `recipes.tuning.Tuner`; here many machines search with the same --storage"
        )
    extra = {**computing(recipe, settings, strategy, dtype), **_described(search)}
    if search.storage is not None:
        check_database(search.storage)
    with Run(recipe_name(recipe), settings, run_dir, extra) as run:
        if run.is_raised:
            raise CommandError(f"--max-epochs: {run.directory} was begun with {run.recorded('epochs')}; take that")
        start_keras(strategy, recipe.DTYPE, touch=False)
        run.begin_group()
        return _search(recipe, settings, search, run, strategy, dtype, data_dir), run


def check_database(storage):
    """Raise a CommandError or WorldError if there is no such database, before anything is written for a search."""
    from recipes.tuning.storage.database import Database
    from recipes.tuning.storage.leases import TABLES

    Database(storage, TABLES).close()


def with_validation(recipe, settings):
    """The same with a part that trials are scored on."""
    if getattr(settings, "validation_split", 1) > 0:
        return settings
    print(f"Trials are scored on {HELD_OUT:.0%} of the training part; --validation-split says how much.")
    return dataclasses.replace(settings, validation_split=HELD_OUT)


def _described(search):
    """What of a search is kept in config.json: all that decides its trials."""
    about = dataclasses.asdict(search)
    del about["workers"], about["storage"]
    return {**about, "space": list(search.space)}


def _search(recipe, settings, search, run, strategy, dtype, data_dir):
    from recipes.tuning import Place, RecipeHyperModel, Tuner, work
    from recipes.tuning.progress import Progress
    from recipes.workers.processes import Processes

    place = Place(strategy, dtype, data_dir)
    hypermodel = RecipeHyperModel(recipe, search.space, settings, data_dir=data_dir)
    objective = hypermodel.objective(search.metric)
    oracle = _oracle(hypermodel, objective, search, run)
    # what runs is left to others when this ends, also by a signal
    with cleaned_up(oracle.close), Processes(work.Shared(hypermodel, place), strategy, recipe.DTYPE) as processes:
        updates = processes.share(work.look)["updates"]
        facts = functools.partial(_facts, hypermodel, search, processes, updates)
        hypermodel.facts = Facts(**oracle.recall("space", facts))
        declare(hypermodel, oracle)
        keep = functools.partial(_keep, hypermodel, run.directory / "tensorboard", objective)
        progress = Progress(search.workers, objective, hypermodel.given, oracle.trials.values(), keep)
        where = run.directory.resolve()
        tuner = Tuner(
            hypermodel,
            oracle,
            workers=search.workers,
            place=place,
            directory=where.parent,
            project_name=where.name,
            watch=progress,
            processes=processes,
        )
        tuner.search()
        return _with_rates(_ranked(hypermodel, oracle), processes)


def _facts(hypermodel, search, processes, updates):
    """What has to be known before the space can be declared: measured once, by the first machine of the search."""
    epochs = hypermodel.settings.epochs
    shortest = rungs_of(epochs)[0] if search.tuner == "hyperband" else epochs
    return {"rates": _tested_rates(hypermodel, processes), "updates": max(updates * shortest // epochs, 1)}


def _keep(hypermodel, directory, objective, trial):
    """Show a trial that has ended on TensorBoard's page of HParams."""
    if trial.status == "COMPLETED":
        write_hparams(directory, _row(hypermodel, 0, trial), objective.name)


def _with_rates(rows, processes):
    """The same with `rates`, the learning rates of the best, which a process of its own computes."""
    from recipes.tuning import work

    shown = best_of_each(rows)
    schedules = [(row["settings"]["schedule"], row["settings"]["learning_rate"], row["updates"]) for row in shown]
    rates = processes.call(functools.partial(work.rates, schedules=schedules))["rates"]
    of = {row["trial"]: each for row, each in zip(shown, rates, strict=True)}
    return [{**row, "rates": of.get(row["trial"])} for row in rows]


def declare(hypermodel, oracle):
    """Tell the oracle what is searched, or in one line that its study is of another search."""
    hp = oracle.get_space()
    hypermodel.declare_hyperparameters(hp)
    oracle.update_space(hp)
    with stop_where_another_search_is():
        oracle.agree()


@contextlib.contextmanager
def stop_where_another_search_is():
    """Tell in one line that a study is of another search."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{one_line(error)} by --study or --run-dir") from error


def _tested_rates(hypermodel, processes):
    """The lowest and the highest rate of each optimizer that is searched, if nothing says what they are."""
    from recipes.tuning import work

    rates = {}
    if hypermodel.space.get("learning_rate", "given") is not None:
        return rates
    for optimizer in optimizers_of(hypermodel.space, hypermodel.settings):
        found = processes.call(functools.partial(work.find_rates, optimizer=optimizer))
        rates[optimizer] = [_rounded(found["low"]), _rounded(found["high"])]
        print(f"Range test of {optimizer}: learning rates from {rates[optimizer][0]:g} to {rates[optimizer][1]:g}.")
    return rates


def _rounded(rate):
    return float(f"{rate:.1g}")


def _oracle(hypermodel, objective, search, run):
    from recipes.tuning import StorageOracle

    epochs = hypermodel.settings.epochs
    with stop_where_another_search_is():
        return StorageOracle(
            search.storage or f"sqlite:///{urllib.parse.quote(str((run.directory / 'search.db').absolute()))}",
            objective,
            search.trials,
            study=search.study or hypermodel.name,
            sampler="random" if search.tuner == "hyperband" else search.tuner,
            rungs=rungs_of(epochs) if search.tuner == "hyperband" else None,
            seed=hypermodel.settings.seed,
            about={name: value for name, value in run.config.items() if name not in ("strategy", "trials")},
        )


def _ranked(hypermodel, oracle):
    """All trials that have ended as dicts, the best first."""
    ended = sorted(oracle.trials.values(), key=lambda trial: trial.ended or math.inf)
    rows = [_row(hypermodel, order, trial) for order, trial in enumerate(ended)]
    sign = 1 if oracle.objective.direction == "min" else -1

    def rank(row):
        return (row["score"] is None, -row["rung"], sign * (row["score"] or 0))

    return sorted(rows, key=rank)


def _row(hypermodel, order, trial):
    """A trial as a dict: all of it is in the database, since other machines may have trained it."""
    values, searched = trial.hyperparameters.values, hypermodel.given(trial.hyperparameters)
    epochs = values.get("tuner/epochs", hypermodel.settings.epochs)
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
        "score": trial.score if trial.status == "COMPLETED" else None,
        "seconds": metrics.get("training_seconds"),
        "settings": {**dataclasses.asdict(hypermodel.settings), **searched, "epochs": epochs},
        "searched": searched,
        "message": trial.message,
    }


def report(recipe, settings, search, trials, run, **places):
    """Print the best trials, and leave tables and pictures in the run directory.

    Args:
        recipe, settings, search: as for `tune`.
        trials, run: what it returns.
        places: dict of `strategy`, `dtype` and `data_dir`, as they were given to it.

    Returns:
        The command that trains the best, a str.

    Raises:
        WorldError: no trial was completed.
    """
    done = [row for row in trials if row["status"] == "COMPLETED"]
    if not done:
        last = max(trials, key=lambda row: row["order"])["message"]
        raise WorldError(f"no trial was completed; the last: {last}; see {run.directory / 'trials'}")
    run.write("trials.csv", lambda part: part.write_text(table(_flat(trials))))
    count = len({row["configuration"] for row in trials})
    metric = search.metric or next(iter(recipe.OBJECTIVES))
    failed = f", {len(trials) - len(done)} failed" if len(done) < len(trials) else ""
    end = "" if count >= search.trials else f", of which the space has no more than {count}"
    print(f"\n{len(trials)} trials of {count} configurations{end}{failed}. The best:\n")
    _print_table(done[:10], metric)
    command = _command(recipe, settings, done[0], places)
    print(f"\nThe best as a run:\n\n    {command}\n")
    for row in done:  # those of other machines too
        write_hparams(run.directory / "tensorboard", row, metric)
    for name, figure in _pictures(trials, metric, recipe).items():
        run.write(name, figure.savefig)
        print(f"{run.directory / name}")
    best = {name: value for name, value in done[0].items() if name != "rates"}
    run.finish({"best": best, "trials": len(trials)})
    return command


def _flat(trials):
    return [
        {**{k: v for k, v in row.items() if k not in ("settings", "searched", "rates")}, **row["searched"]}
        for row in trials
    ]


def _print_table(rows, metric):
    names = ["trial", "epochs", metric, *rows[0]["searched"]]
    cells = [
        [row["trial"], row["epochs"], f"{row['score']:.4g}", *map(_short, row["searched"].values())] for row in rows
    ]
    widths = [max(len(str(line[i])) for line in [names, *cells]) for i in range(len(names))]
    for line in [names, *cells]:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pictures(trials, metric, recipe):
    from recipes.report import search

    direction = recipe.OBJECTIVES[metric]
    return {
        "rates.png": search.rates(trials, metric, direction),
        "progress.png": search.progress(trials, metric, direction),
        "schedules.png": search.schedules(trials, metric),
    }


def _command(recipe, settings, best, places):
    """The command that trains the best, on all images if the search alone held some out."""
    found = recipe.Settings(**best["settings"])
    if hasattr(settings, "validation_split"):
        found = dataclasses.replace(found, validation_split=settings.validation_split)
    given = {name: value for name, value in places.items() if value not in (None, "auto")}
    return " ".join([command_of(recipe, found), *(_option(name, value) for name, value in given.items())])


def command_of(recipe, settings):
    """The `train` command that has these settings."""
    preset, given = next(_ways_to(recipe, settings))
    options = {"variant": settings.variant} | ({} if preset is None else {"preset": preset}) | given
    return " ".join(["python -m recipes train", recipe_name(recipe), *map(_option, options, options.values())])


def _ways_to(recipe, settings):
    """`(preset, options)` that give these settings; None cannot be written."""
    wanted = dataclasses.asdict(settings)
    optimizer = {"optimizer": wanted["optimizer"]} if "optimizer" in wanted else {}  # what of a preset is another's
    for preset in (None, *recipe.PRESETS):
        with contextlib.suppress(CommandError):  # of a preset that does not go with the optimizer
            plain = dataclasses.asdict(resolve(recipe, {"variant": settings.variant, **optimizer}, preset))
            given = {name: value for name, value in wanted.items() if value != plain[name]}
            if None not in given.values():
                yield preset, optimizer | given
    yield None, {name: value for name, value in wanted.items() if value is not None}


def _option(name, value):
    return f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
