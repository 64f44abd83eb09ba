import contextlib
import dataclasses
import functools
import os

from recipes import run as runs
from recipes import training, tuning, workers
from recipes.errors import CommandError
from recipes.machine import strategies
from recipes.machine.backend import start_keras
from recipes.machine.leaving import cleaned_up
from recipes.settings.beside_search import has_line_search, has_search
from recipes.tuning import storage
from recipes.tuning.facts import Facts
from recipes.tuning.halving import FEWEST, rungs_of
from recipes.tuning.objective import objective_of
from recipes.tuning.space import check, optimizers_of, parse_space, searching, with_optimizer
from recipes.tuning.statuses import COMPLETED
from recipes.tuning.study import agree_on_space, study_errors_in_one_line

HELD_OUT = 0.1  # share of the training part, if the recipe has no validation part


def tune(recipe, search, run_dir=None, *, strategy="auto", dtype=None, data_dir=None):
    """Search settings of a recipe, or go on with a search that was interrupted.

    Args:
        recipe: `recipes.recipe.Recipe` that all trials begin from; its epochs are those of the longest trial.
        search: `Search`.
        run_dir, strategy, dtype, data_dir: as for `training.train`.

    Returns:
        `(trials, run)`: a list of dicts, the best first, as `recipes.tuning.ranked` returns them, where the first ones
        have `rates`, their learning rates over the updates; and the `Run` of the search.

    Raises:
        CommandError, WorldError: as `Run`; also if the settings cannot be searched, or if several trials in a row fail.
    """
    objective_of(recipe, search.metric)
    space, recipe = parse_space(search.space, recipe), with_validation(recipe)
    check(space, recipe)
    _check_environment()
    training.check_weights(recipe)
    extra = {**training.computing(recipe, strategy, dtype), **search.described()}
    if search.storage is not None:  # a wrong URL is an error before any file is written
        storage.Database(search.storage, storage.TABLES).close()
    with runs.Run(recipe, run_dir, extra, kind="search") as run:
        if run.is_raised:
            raise CommandError(f"--max-epochs: {run.directory} was begun with {run.recorded('epochs')}; take that")
        start_keras(strategy, recipe.needs_float64, touch=False)
        run.begin_group()
        return _searched(recipe, search, run, tuning.Place(strategy, dtype, data_dir)), run


def with_validation(recipe):
    """The same recipe, with a validation part on which trials are scored."""
    if "validation_split" not in recipe.settings() or recipe.validation_split > 0:
        return recipe
    print(f"Trials are scored on {HELD_OUT:.0%} of the training part; --validation-split says how much.")
    return dataclasses.replace(recipe, validation_split=HELD_OUT)


def _check_environment():
    """Raise a CommandError if environment variables ask for several machines: a search uses --storage for that."""
    if strategies.is_one_of_several():
        raise CommandError("KERAS_DISTRIBUTION_… is for `train`; many machines search with the same --storage")
    if "KERASTUNER_ORACLE_IP" in os.environ:
        raise CommandError(
            "KERASTUNER_… is for `recipes.tuning.Tuner`; here many machines search with the same --storage"
        )


def _searched(recipe, search, run, place):
    """Search. Returns all trials, a list of dicts."""
    hypermodel = tuning.RecipeHyperModel(recipe, search.space, data_dir=place.data_dir)
    shared, opened = tuning.Shared(hypermodel, place), contextlib.ExitStack()
    with (
        cleaned_up(opened.close),  # then other machines can take the running trials over, also after a signal
        workers.Processes(shared, place.strategy, recipe.needs_float64) as processes,
    ):
        updates = processes.share(tuning.work.load_data)["updates"]
        rungs = _rungs(recipe.epochs, updates) if search.is_halving else None
        oracle = _oracle(hypermodel, search, run, rungs)
        opened.callback(oracle.close)
        shortest = max(updates * (rungs or (recipe.epochs,))[0] // recipe.epochs, 1)
        facts = functools.partial(_facts, hypermodel, processes, shortest)
        check_models(searching(hypermodel.space, recipe), processes)
        hypermodel.facts = Facts(**oracle.recall("space", facts))
        agree_on_space(oracle, hypermodel)
        _tuner(hypermodel, oracle, search, run, place, processes).search()
        return _with_rates(tuning.ranked(hypermodel, oracle), processes)


def check_models(recipes, processes):
    """Raise a CommandError if a model cannot be trained by a line search, before anything is trained.

    Args:
        recipes: list of `recipes.recipe.Recipe`; those without a line search are left alone.
        processes: `recipes.workers.Processes` with the data.
    """
    for recipe in recipes:
        if has_search(recipe):
            processes.call(functools.partial(tuning.work.check_model, recipe=recipe))


def _rungs(epochs, updates):
    """The rungs of a search by halving; where few updates make them others than usual, a line says so.

    Args:
        epochs: int, of the longest trial.
        updates: int, which it makes at least.
    """
    rungs = rungs_of(epochs, updates_of_an_epoch=updates / epochs)
    if rungs != rungs_of(epochs):
        words = f"rungs of {' and '.join(map(str, rungs))} epochs" if len(rungs) > 1 else "no halving"
        print(f"{words[0].upper()}{words[1:]}: fewer than {FEWEST} updates do not tell configurations apart.")
    return rungs


def _oracle(hypermodel, search, run, rungs):
    recipe = hypermodel.recipe
    with study_errors_in_one_line():
        return tuning.StorageOracle(
            search.storage or storage.sqlite_url(run.directory / runs.names.DATABASE),
            hypermodel.objective(search.metric),
            search.trials,
            study=search.study or hypermodel.name,
            sampler=search.sampler,
            rungs=rungs,
            seed=recipe.seed,
            about={name: value for name, value in run.config.items() if name not in ("strategy", "trials")},
        )


def _facts(hypermodel, processes, updates):
    """The arguments of `Facts`, which are measured once, by the first machine of the search.

    Args:
        updates: int, of the shortest trial.
    """
    return {"rates": _tested_rates(hypermodel, processes), "updates": updates}


def _tested_rates(hypermodel, processes):
    """The lowest and the highest rate of each searched optimizer, unless --space gives them: a dict."""
    recipe, rates = hypermodel.recipe, {}
    if "optimizer" not in recipe.settings() or hypermodel.space.get("learning_rate", "given") is not None:
        return rates
    for optimizer in optimizers_of(hypermodel.space, recipe):
        tested = with_optimizer(recipe, optimizer)
        if has_line_search(tested):  # the rate, if any, is the step that it tries first, which no range test is of
            continue
        found = processes.call(functools.partial(tuning.work.find_rates, recipe=tested))
        rates[optimizer] = [_rounded(found["low"]), _rounded(found["high"])]
        print(f"Range test of {optimizer}: learning rates from {rates[optimizer][0]:g} to {rates[optimizer][1]:g}.")
    return rates


def _rounded(rate):
    return float(f"{rate:.1g}")


def _tuner(hypermodel, oracle, search, run, place, processes):
    show = functools.partial(_show, hypermodel, run, oracle.objective.name)
    known = oracle.trials.values()
    where = run.directory.resolve()
    return tuning.Tuner(
        hypermodel,
        oracle,
        workers=search.workers,
        place=place,
        directory=where.parent,
        project_name=where.name,
        watch=tuning.Progress(search.workers, search.trials, oracle.objective, hypermodel.given, known, show),
        processes=processes,
    )


def _show(hypermodel, run, metric, trial):
    """Show a trial that has ended on TensorBoard's page of hyperparameters."""
    if trial.status == COMPLETED:
        row = tuning.row_of(hypermodel, 0, trial)
        values = {**row["searched"], "epochs": row["epochs"]}
        run.show_trial(row["trial"], values, {metric: row["score"]}, row["epochs"])


def _with_rates(rows, processes):
    """The same rows with `rates`, the learning rates of the best trials, which a fork computes.

    Those of a short trial are what its schedule would be in the longest.
    """
    shown = [row for row in tuning.best_of_each(rows) if not tuning.has_line_search(row)]
    if not shown or not {"schedule", "learning_rate"} <= shown[0]["settings"].keys():
        return [{**row, "rates": None} for row in rows]
    longest = max(row["epochs"] for row in rows)
    schedules = [
        (row["settings"]["schedule"], row["settings"]["learning_rate"], row["updates"] * longest // row["epochs"])
        for row in shown
    ]
    rates = processes.call(functools.partial(tuning.work.rates, schedules=schedules))["rates"]
    of = {row["trial"]: each for row, each in zip(shown, rates, strict=True)}
    return [{**row, "rates": of.get(row["trial"])} for row in rows]
