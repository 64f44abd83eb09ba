import contextlib
import dataclasses
import functools
import shlex

from recipes import strategies
from recipes.commands.keras_session import start_keras
from recipes.commands.train import computing, recipe_name
from recipes.errors import CommandError, WorldError, one_line
from recipes.nearest import unknown
from recipes.run import Run, read_json
from recipes.settings import resolve
from recipes.tables import table
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
    settings = _with_validation(recipe, settings)
    check(space, settings)
    if search.metric is not None and search.metric not in recipe.OBJECTIVES:
        raise CommandError(f"--metric: {unknown('metric', search.metric, recipe.OBJECTIVES)}")
    if strategies.is_one_of_several():
        raise CommandError("KERAS_DISTRIBUTION_… is for `train`; many machines search with the same --storage")
    extra = {**computing(recipe, settings, strategy, dtype), **_described(search)}
    with Run(recipe_name(recipe), settings, run_dir, extra) as run:
        if run.is_raised:
            raise CommandError(f"--max-epochs: {run.directory} was begun with {run.recorded('epochs')}; take that")
        start_keras(strategy, recipe.DTYPE, touch=False)
        run.begin_group()
        return _search(recipe, settings, search, run, strategy, dtype, data_dir), run


def _with_validation(recipe, settings):
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
    from recipes.tuning.processes import Processes
    from recipes.tuning.progress import Progress

    place = Place(strategy, dtype, data_dir)
    hypermodel = RecipeHyperModel(recipe, search.space, settings, data_dir=data_dir)
    objective = hypermodel.objective(search.metric)
    with Processes(work.Shared(hypermodel, place), strategy, recipe.DTYPE) as processes:
        hypermodel.facts = _facts(hypermodel, search, run, processes)
        oracle = _oracle(hypermodel, objective, search, run)
        tuner = Tuner(
            hypermodel,
            oracle,
            workers=search.workers,
            place=place,
            directory=run.directory.parent,
            project_name=run.directory.name,
            watch=Progress(search.workers, objective, functools.partial(_own, hypermodel)),
            processes=processes,
        )
        with contextlib.closing(oracle):
            tuner.search()
            return _ranked(tuner, hypermodel, objective)


def _facts(hypermodel, search, run, processes):
    """What has to be known before the space can be declared; measured once, and kept in the run directory."""
    from recipes.tuning import work

    updates = processes.share(work.look)["updates"]
    known = read_json(run.directory / "facts.json")
    if known is None:
        epochs = hypermodel.settings.epochs
        shortest = rungs_of(epochs)[0] if search.tuner == "hyperband" else epochs
        known = {"rates": _tested_rates(hypermodel, processes), "updates": max(updates * shortest // epochs, 1)}
        run.write_json("facts.json", known)
    return Facts(**known)


def _tested_rates(hypermodel, processes):
    """The lowest and the highest rate of each optimizer that is searched, if nothing says what they are."""
    from recipes.tuning import work

    rates = {}
    if hypermodel.space.get("learning_rate", "given") is not None:
        return rates
    for optimizer in optimizers_of(hypermodel.space, hypermodel.settings):
        found = processes.call(functools.partial(work.test_rates, optimizer=optimizer))
        rates[optimizer] = [_rounded(found["low"]), _rounded(found["high"])]
        print(f"Range test of {optimizer}: learning rates from {rates[optimizer][0]:g} to {rates[optimizer][1]:g}.")
    return rates


def _rounded(rate):
    return float(f"{rate:.1g}")


def _oracle(hypermodel, objective, search, run):
    import keras_tuner

    from recipes.tuning import StorageOracle

    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)

    epochs = hypermodel.settings.epochs
    try:
        return StorageOracle(
            search.storage or f"sqlite:///{(run.directory / 'search.db').absolute()}",
            objective,
            search.trials,
            study=search.study or hypermodel.name,
            sampler="random" if search.tuner == "hyperband" else search.tuner,
            rungs=rungs_of(epochs) if search.tuner == "hyperband" else None,
            seed=hypermodel.settings.seed,
            hyperparameters=hp,
            about={name: value for name, value in run.config.items() if name not in ("strategy", "trials")},
        )
    except ValueError as error:
        raise CommandError(one_line(error)) from error


def _ranked(tuner, hypermodel, objective):
    """All trials that have ended as dicts, the best first."""
    rows = [_row(tuner, hypermodel, order, trial) for order, trial in enumerate(tuner.oracle.trials.values())]
    sign = 1 if objective.direction == "min" else -1

    def rank(row):
        return (row["score"] is None, -row["rung"], sign * (row["score"] or 0))

    return sorted(rows, key=rank)


def _own(hypermodel, trial):
    """What is a trial's own: its epochs, and the settings that are searched."""
    settings = hypermodel.settings_of(trial.hyperparameters)
    return {name: getattr(settings, name) for name in ("epochs", *hypermodel.space)}


def _row(tuner, hypermodel, order, trial):
    values = trial.hyperparameters.values
    settings = hypermodel.settings_of(trial.hyperparameters)
    result = read_json(tuner.run_directory(trial) / "result.json") or {}
    is_done = trial.status == "COMPLETED"
    return {
        "trial": trial.trial_id,
        "order": order,
        "configuration": int(trial.trial_id.partition("-")[0]),
        "rung": values.get("tuner/round", 0),
        "epochs": settings.epochs,
        "cost": result.get("trained_epochs", settings.epochs),
        "status": trial.status,
        "score": trial.score if is_done else None,
        "seconds": result.get("training_seconds"),
        "settings": dataclasses.asdict(settings),
        "searched": {name: value for name, value in _own(hypermodel, trial).items() if name != "epochs"},
        "message": trial.message,
    }


def report(recipe, settings, search, trials, run):
    """Print the best trials, and leave tables and pictures in the run directory.

    Args:
        recipe, settings, search: as for `tune`.
        trials, run: what it returns.

    Raises:
        WorldError: no trial was completed.
    """
    done = [row for row in trials if row["status"] == "COMPLETED"]
    if not done:
        raise WorldError(f"no trial was completed; see {run.directory / 'trials'}")
    run.write("trials.csv", lambda part: part.write_text(table(_flat(trials))))
    metric = search.metric or next(iter(recipe.OBJECTIVES))
    print(f"\n{len(done)} trials of {len({row['configuration'] for row in trials})} configurations. The best:\n")
    _print_table(done[:10], metric)
    print(f"\nThe best as a run:\n\n    {_command(recipe, settings, done[0])}\n")
    write_hparams(run.directory / "tensorboard", done, metric)
    for name, figure in _pictures(trials, metric, recipe).items():
        run.write(name, figure.savefig)
        print(f"{run.directory / name}")
    run.finish({"best": done[0], "trials": len(trials)})


def _flat(trials):
    return [
        {**{k: v for k, v in row.items() if k not in ("settings", "searched")}, **row["searched"]} for row in trials
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
        "schedules.png": search.schedules(trials, metric, direction),
    }


def _command(recipe, settings, best):
    """The command that trains the best, on all images if the search alone held some out."""
    found = recipe.Settings(**best["settings"])
    if hasattr(settings, "validation_split"):
        found = dataclasses.replace(found, validation_split=settings.validation_split)
    return command_of(recipe, found)


def command_of(recipe, settings):
    """The `train` command that has these settings."""
    plain = resolve(recipe, {"variant": settings.variant})
    options = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value != getattr(plain, field.name) or field.name == "variant":
            options += [f"--{field.name.replace('_', '-')}", shlex.quote(str(value))]
    return " ".join(["python -m recipes train", recipe_name(recipe), *options])
