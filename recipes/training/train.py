import contextlib
import os

from recipes.errors import CommandError, WorldError
from recipes.machine import dtypes, strategies
from recipes.machine.backend import backend_name, start_keras
from recipes.machine.hosts import check_same, result_of, run_directory, share_state, together
from recipes.run.run import Run, may_be_damaged
from recipes.training.fit import DIVERGED, STOPPED_EARLY
from recipes.training.probe import probe


def train(recipe, settings, run_dir=None, *, strategy="auto", dtype=None, data_dir=None, download=False):
    """Train a recipe, go on with a run that was interrupted, or give the result of one that is done.

    Args:
        recipe: module of the recipe.
        settings: its `Settings`.
        run_dir, data_dir, download: as on the command line.
        strategy: as `recipes.machine.strategies.parse_strategy` takes it.
        dtype: one of `recipes.machine.dtypes.DTYPES`; None for the recipe's own.

    Returns:
        `(result, directory)`.

    Raises:
        CommandError, WorldError: as `Run`, `recipe.load` and `recipe.train` do.
    """
    extra = computing(recipe, settings, strategy, dtype)
    if strategies.is_one_of_several():
        start_keras(strategy, recipe.DTYPE, join=True)
    with (
        run_directory(run_dir) as directory,
        together(lambda: Run(recipe_name(recipe), settings, directory, extra)) as run,
    ):
        check_same(run.config)
        result = result_of(run)
        if result is not None:
            print(f"{run.directory} is done already; this is its result.")
            return result, run.directory
        start_keras(strategy, recipe.DTYPE)
        with devices_for(settings, strategy) as devices:
            data = together(lambda: recipe.load(settings, data_dir, download))
            found = settled_dtype(recipe, settings, data, extra["dtype"], devices, run.recorded("dtype"))
            together(lambda: run.settle(strategy=devices.name, dtype=found))
            check_same({**run.config, "data": data.about()["digest"]})
            if run.is_raised and recipe.horizon_matters(settings):
                print(f"The schedule is that of {settings.epochs} epochs from here on, and was not before.")
            together(lambda: run.begin(data.about()))
            share_state(run)
            with dtypes.policy(found):
                result = recipe.train(settings, run, data)
            run.finish(result)
            return result, run.directory


def computing(recipe, settings, strategy, dtype):
    """What a run's config says of how it is computed, before the devices are looked at.

    Raises:
        CommandError: there is no such strategy or dtype, or the recipe has a dtype of its own.
    """
    strategies.parse_strategy(strategy)
    if dtype is not None:
        dtypes.check_dtype(dtype)
    if dtype == "probe" and strategies.is_one_of_several():
        raise CommandError("--dtype probe measures one process; several take auto, or a dtype")
    computed = dtypes.computed_by(recipe)
    if dtype in dtypes.COMPUTED and dtype not in computed:
        raise CommandError(f"--dtype {dtype}: {recipe_name(recipe)} computes in {' and '.join(computed)}")
    if recipe.DTYPE is not None and dtype not in (None, recipe.DTYPE):
        raise CommandError(f"--dtype {dtype}: {recipe_name(recipe)} computes in {recipe.DTYPE}")
    own = recipe.DTYPE or getattr(recipe, "DTYPE_OF_VARIANT", {}).get(settings.variant)
    return {"backend": backend_name(), "strategy": strategy, "dtype": dtype or own or "float32"}


@contextlib.contextmanager
def devices_for(settings, strategy):
    """The scope of the devices that `strategy` stands for, yielded as a `recipes.machine.strategies.Strategy`."""
    devices = strategies.resolve(strategy)
    with devices.scope():
        count = strategies.replicas()
        if settings.batch_size % count:
            nearest = max(settings.batch_size // count, 1) * count
            raise CommandError(
                f"--batch-size {settings.batch_size}: {count} devices share each batch evenly; take a multiple of "
                f"{count}, such as {nearest}"
            )
        if count > 1:
            print(f"{count} devices share each batch: {', '.join(devices.devices)}")
        yield devices


def settled_dtype(recipe, settings, data, dtype, devices, recorded=None):
    """The dtype that `dtype` stands for: by rule, by probing, or what a run was begun with."""
    if dtype not in ("auto", "probe"):
        return dtype
    if recorded in dtypes.COMPUTED:
        return recorded
    if dtype == "auto":
        found, reason = dtypes.chosen_by_rule(devices, dtypes.computed_by(recipe))
    else:
        found, reason = probe(recipe, settings, data, devices)
    print(f"--dtype {dtype}: {found} ({reason})")
    return found


def report(recipe, settings, result, directory):
    """Print a result; raise a WorldError if training diverged."""
    with may_be_damaged(os.path.join(directory, "result.json")):  # by which a run is told once more
        outcome, epochs, made = result["outcome"], result["epochs"], result["updates"]
        sentence = None if outcome == DIVERGED else recipe.summary(settings, result)
    if outcome == DIVERGED:
        raise WorldError(f"training diverged within {made} updates; see {directory}")
    if outcome == STOPPED_EARLY:
        print(f"\nStopped after {epochs} epochs without a lower validation loss.", end="")
    print("\n" + sentence)
    print(f"Learning curves: {os.path.join(directory, 'curves.png')}")


def recipe_name(recipe):
    return recipe.__name__.rpartition(".")[2]
