from recipes.commands.keras_session import start_keras
from recipes.errors import WorldError
from recipes.run import Run
from recipes.training import DIVERGED, STOPPED_EARLY


def train(recipe, settings, run_dir=None, data_dir=None, download=False):
    """Train a recipe, go on with a run that was interrupted, or give the result of one that is done.

    Args:
        recipe: module of the recipe.
        settings: its `Settings`.
        run_dir, data_dir, download: as on the command line.

    Returns:
        `(result, directory)`.

    Raises:
        CommandError, WorldError: as `Run`, `recipe.load` and `recipe.train` do.
    """
    with Run(recipe_name(recipe), settings, run_dir) as run:
        result = run.result
        if result is not None:
            print(f"{run.directory} is done already; this is its result.")
            return result, run.directory
        start_keras()
        data = recipe.load(settings, data_dir, download)
        if run.is_raised and recipe.horizon_matters(settings):
            print(f"The schedule is that of {settings.epochs} epochs from here on, and was not before.")
        run.begin(data.about())
        result = recipe.train(settings, run, data)
        run.finish(result)
        return result, run.directory


def report(recipe, settings, result, directory):
    """Print a result; raise a WorldError if training diverged."""
    if result["outcome"] == DIVERGED:
        raise WorldError(f"training diverged within {result['updates']} updates; see {directory}")
    if result["outcome"] == STOPPED_EARLY:
        print(f"\nStopped after {result['epochs']} epochs without a lower validation loss.", end="")
    print("\n" + recipe.summary(settings, result))
    print(f"Learning curves: {directory / 'curves.png'}")


def recipe_name(recipe):
    return recipe.__name__.rpartition(".")[2]
