from recipes import training
from recipes.machine import dtypes, strategies
from recipes.machine.backend import start_keras
from recipes.machine.hosts import bytes_from_first, check_same, result_of, run_directory, together
from recipes.run.run import Run
from recipes.run.state import begin_with_bytes, state_bytes
from recipes.training import contract
from recipes.training.begin_with import hash_of_weights
from recipes.training.computing import computing, devices_for, settled_dtype
from recipes.training.outcomes import DIVERGED


def train(recipe, run_dir=None, *, strategy="auto", dtype=None, data_dir=None, download=False, verbose="auto"):
    """Train a recipe, go on with a run that was interrupted, or return the result of a run that is done.

    Args:
        recipe: `recipes.recipe.Recipe`.
        run_dir, data_dir, download: as on the command line.
        strategy: str, as `recipes.machine.strategies.parse_strategy` takes it.
        dtype: one of `recipes.machine.dtypes.DTYPES`; None for the default of the recipe.
        verbose: what is told of epochs: 0, 1, 2 or "auto", as `EpochProgress` takes it.

    Returns:
        `(result, directory)`: a dict, and the path of the run's directory.

    Raises:
        CommandError, WorldError: as `recipes.run.Run` and the recipe's methods do.

    Example:

    >>> import tempfile
    >>> from recipes import training
    >>> from recipes.linear_regression import LinearRegression
    >>> result, directory = training.train(LinearRegression(epochs=5), tempfile.mkdtemp(), verbose=0)
    >>> result["outcome"], result["updates"]
    ('finished', 5)
    """
    extra = computing(recipe, strategy, dtype)
    if strategies.is_one_of_several():
        start_keras(strategy, recipe.needs_float64, join=True)
    with run_directory(run_dir) as directory, together(lambda: Run(recipe, directory, extra)) as run:
        check_same(run.config)
        result = result_of(run)
        if result is not None:
            print(f"{run.directory} is done already; this is its result.")
            return result, run.directory
        start_keras(strategy, recipe.needs_float64)
        with devices_for(recipe, strategy) as devices:
            return _trained(recipe, run, devices, extra["dtype"], data_dir, download, verbose), run.directory


def _trained(recipe, run, devices, dtype, data_dir, download, verbose):
    begins_with = hash_of_weights(recipe, run)
    data = together(lambda: contract.load(recipe, data_dir, download))
    about = {**contract.about(recipe, data), **begins_with}
    found = settled_dtype(recipe, data, dtype, devices, run.recorded("dtype"))
    together(lambda: run.settle(strategy=devices.name, dtype=found))
    check_same({**run.config, "data": about["digest"]})
    if run.is_raised and recipe.horizon_matters:
        print(f"The schedule is that of {recipe.epochs} epochs from here on, and was not before.")
    with dtypes.policy(found):
        # before the directory is made: what cannot be trained leaves none behind
        model = contract.model(recipe, data, begins=not run.epochs_done(), tell=print)
        together(lambda: run.begin(about))
        _share_state(run)
        result = train_and_judge(recipe, run, data, verbose, model)
    run.finish(result)
    return result


def _share_state(run):
    """Give every process the state from which the first process resumes training."""
    content = bytes_from_first(state_bytes(run.directory)) if strategies.is_one_of_several() else b""
    if content:
        begin_with_bytes(run.directory, content)


def train_and_judge(recipe, run, data, verbose="auto", model=None):
    """Train a recipe, save its model, and judge it once on the test part. If training diverges, do neither.

    Args:
        recipe: `recipes.recipe.Recipe`.
        run: `recipes.run.Run` that was begun.
        data: what `recipe.load` returns.
        verbose: as for `train`.
        model: what `contract.model` returns; by default it is built here.

    Returns:
        A dict: the figures of `recipe.judge` and of `fit`.
    """
    model, trained = training.fit(recipe, run, data, model, verbose=verbose)
    if trained["outcome"] == DIVERGED:
        return trained
    model = recipe.trained(model, run)
    run.save_model(model)
    return {**contract.judge(recipe, model, data, run), **trained}
