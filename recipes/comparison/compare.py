import contextlib
import dataclasses
import functools

from recipes import comparison as comparisons
from recipes import run as runs
from recipes import training, tuning, workers
from recipes.errors import WorldError
from recipes.machine.backend import start_keras
from recipes.machine.leaving import cleaned_up
from recipes.settings.beside_search import has_line_search
from recipes.settings.quantities import counted
from recipes.tuning import storage
from recipes.tuning.objective import objective_of
from recipes.tuning.statuses import COMPLETED
from recipes.tuning.study import agree_on_space, study_errors_in_one_line

WIDER = 4.0  # than a range test says, by this factor at each end
TIMED = 10  # epochs at most, whose median is what an epoch takes, for a budget of seconds
SHARE = 0.25  # of such a budget, at most, that they may take, but for two
POLL = 0.25  # seconds between looks at trainings


def compare(recipe, comparison, run_dir=None, *, strategy="auto", dtype=None, data_dir=None):
    """Train contenders with equal budgets, each with a learning rate that was searched for it.

    Args:
        recipe: `recipes.recipe.Recipe`, whose settings are those of all contenders but for what is their own.
        comparison: `Comparison`.
        run_dir, strategy, dtype, data_dir: as for `training.train`.

    Returns:
        `(rows, run)`: a list of dicts, one for each training with a seed, as `recipes.comparison.rows_of` gives
        them; the `Run` of the comparison.

    Raises:
        CommandError, WorldError: as `Run`, or something cannot be compared so.
    """
    objective_of(recipe)
    recipe = tuning.with_validation(recipe)
    for contender in comparison.contenders:
        contender.of(recipe)  # what cannot be is told before anything is trained
    training.check_weights(recipe)
    extra = {**training.computing(recipe, strategy, dtype), **comparison.described()}
    with runs.Run(recipe, run_dir, extra, kind="comparison") as run:
        start_keras(strategy, recipe.needs_float64, touch=False)
        run.begin_group()
        return _compared(recipe, comparison, run, tuning.Place(strategy, dtype, data_dir)), run


def _compared(recipe, comparison, run, place):
    hypermodel = tuning.RecipeHyperModel(recipe, "learning_rate", data_dir=place.data_dir)
    shared = tuning.Shared(hypermodel, place)
    with workers.Processes(shared, place.strategy, recipe.needs_float64) as processes:
        processes.share(tuning.work.load_data)
        tuning.check_models([contender.of(recipe) for contender in comparison.contenders], processes)
        tried, count = {}, len(comparison.contenders)
        for number, contender in enumerate(comparison.contenders, 1):
            print(f"Contender {number} of {count}:", flush=True)
            best, tried[contender.label] = _searched(contender.of(recipe), contender, comparison, run, place, processes)
            _train_seeds(best, contender, comparison, run, processes)
    run.write_table(runs.names.RATES, [row for rows in tried.values() for row in rows])
    return comparisons.rows_of(recipe, comparison, run.directory, tried)


def _searched(recipe, contender, comparison, run, place, processes):
    """Search for the learning rate of a contender, unless a line search finds the length of its steps.

    Returns:
        `(recipe, tried)`: its recipe with the epochs of its budget and the best rate that was found; and a list of
        dicts, a row for each rate that was tried: `contender`, `learning_rate`, `score`, None if it has failed.
    """
    with _oracle(recipe, contender, comparison, run) as oracle:
        pace = oracle.recall("pace", functools.partial(_pace, recipe, comparison, processes))
        epochs = comparison.budget.epochs(pace["updates"], pace["seconds"])
        recipe = dataclasses.replace(recipe, epochs=epochs)
        if has_line_search(recipe):
            plan = f"{counted(epochs, 'epoch')} of {counted(pace['updates'], 'evaluation')}"
            print(
                f"{contender.label}: {plan}; a line search finds the steps, so no learning rate is searched", flush=True
            )
            return recipe, []
        low, high = oracle.recall("rates", functools.partial(_rates, recipe, processes))
        plan = f"{counted(epochs, 'epoch')} of {counted(pace['updates'], 'update')}"
        print(f"{contender.label}: {plan}; learning rates from {low:.2g} to {high:.2g}", flush=True)
        hypermodel = tuning.RecipeHyperModel(recipe, f"learning_rate={low}:{high}", data_dir=place.data_dir)
        agree_on_space(oracle, hypermodel)
        where = (run.directory / contender.directory).resolve()
        _tuner(hypermodel, oracle, comparison, where, place, processes).search()
        best = oracle.get_best_trials()[0]
        if best.status != COMPLETED:
            raise WorldError(f"{contender.label}: no learning rate from {low:.2g} to {high:.2g} trains; {best.message}")
        return hypermodel.recipe_of(best.hyperparameters), _tried(contender, hypermodel, oracle.trials.values())


def _tried(contender, hypermodel, trials):
    """What each learning rate came to, the lowest first."""
    rows = [
        {
            "contender": contender.label,
            "learning_rate": hypermodel.given(trial.hyperparameters)["learning_rate"],  # as it was trained with
            "score": trial.score if trial.status == COMPLETED else None,
        }
        for trial in trials
    ]
    return sorted(rows, key=lambda row: row["learning_rate"])


@contextlib.contextmanager
def _oracle(recipe, contender, comparison, run):
    """The search for the learning rate of a contender, which is left to others when this ends, also by a signal."""
    url = storage.sqlite_url(run.directory / runs.names.DATABASE)
    objective = tuning.RecipeHyperModel(recipe, "learning_rate").objective()
    options = {"study": contender.label, "sampler": "line", "seed": recipe.seed}
    with study_errors_in_one_line():
        oracle = tuning.StorageOracle(url, objective, comparison.trials, **options)
    with cleaned_up(oracle.close):
        yield oracle


def _pace(recipe, comparison, processes):
    """Updates of an epoch, and its seconds if they matter, on the cores that a training has."""
    budget = comparison.budget
    limit = SHARE * budget.amount if budget.kind == "seconds" else None
    timed = functools.partial(tuning.work.pace, recipe=dataclasses.replace(recipe, epochs=TIMED), limit=limit)
    return processes.call(timed, workers.cores_of(comparison.workers)[0])


def _rates(recipe, processes):
    """The lowest and the highest learning rate to search."""
    found = processes.call(functools.partial(tuning.work.find_rates, recipe=recipe))
    return [found["low"] / WIDER, found["high"] * WIDER]


def _tuner(hypermodel, oracle, comparison, directory, place, processes):
    known = oracle.trials.values()
    watch = tuning.Progress(comparison.workers, comparison.trials, oracle.objective, hypermodel.given, known)
    options = {"workers": comparison.workers, "place": place, "watch": watch, "processes": processes}
    return tuning.Tuner(hypermodel, oracle, directory=directory, project_name="search", **options)


def _train_seeds(recipe, contender, comparison, run, processes):
    """Train with each seed that is not done, as many at a time as there are workers."""
    group = run.directory / contender.directory
    seeds = comparison.seeds_of(recipe)
    waiting = [seed for seed in seeds if runs.result_of(runs.directory_of_seed(group, seed)) is None]
    slots, running = list(range(comparison.workers)), {}
    while waiting or running:
        while waiting and slots:
            seed, slot = waiting.pop(0), slots.pop(0)
            running[seed] = slot
            directory = runs.directory_of_seed(group, seed)
            _start(dataclasses.replace(recipe, seed=seed), directory, slot, comparison, processes)
        for ended in processes.ended(POLL):
            slots.append(running.pop(ended.number))
            done = sum(runs.result_of(runs.directory_of_seed(group, seed)) is not None for seed in seeds)
            _note(ended, contender, run, f"{done} of {len(seeds)}")


def _start(recipe, directory, slot, comparison, processes):
    """Start a training with a seed, which is its number."""
    work = functools.partial(tuning.work.train_run, recipe=recipe, directory=directory)
    cores, gpus = workers.cores_of(comparison.workers)[slot], workers.gpus_of(comparison.workers)[slot]
    processes.start(recipe.seed, work, directory.with_suffix(".txt"), cores, gpus)


def _note(ended, contender, run, how_many):
    """Tell that a training has ended, and write down its memory."""
    if ended.error is not None:
        raise WorldError(f"{contender.label}, seed {ended.number}: {ended.error}")
    if ended.answer["peak"] is not None:
        directory = runs.directory_of_seed(run.directory / contender.directory, ended.number)
        runs.write_peak_memory(directory, ended.answer["peak"])
    print(f"{contender.label}: seed {ended.number} is trained, {how_many}", flush=True)
