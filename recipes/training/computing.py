"""What a recipe is computed on and in: backend, devices, dtype."""

import contextlib

from recipes.errors import CommandError
from recipes.machine import dtypes, strategies
from recipes.machine.backend import backend_name
from recipes.settings.beside_search import dtypes_of
from recipes.training.probe import probe


def computing(recipe, strategy, dtype):
    """What a run's config says of how it is computed, before the devices are looked at.

    Raises:
        CommandError: there is no such strategy or dtype, or the recipe has a dtype of its own.
    """
    strategies.parse_strategy(strategy)
    if dtype is not None:
        owner = recipe.name() if dtypes_of(recipe) == recipe.dtypes else f"{recipe.name()} with a line search"
        dtypes.check_dtype(dtype, dtypes_of(recipe), owner)
    if dtype == "probe" and strategies.is_one_of_several():
        raise CommandError("--dtype probe measures one process; several take auto, or a dtype")
    return {"backend": backend_name(), "strategy": strategy, "dtype": dtype or recipe.default_dtype}


@contextlib.contextmanager
def devices_for(recipe, strategy):
    """The scope of the devices that `strategy` stands for, yielded as a `recipes.machine.strategies.Strategy`."""
    devices = strategies.resolve(strategy)
    with devices.scope():
        count = strategies.replicas()
        if recipe.batch_size % count:
            nearest = max(recipe.batch_size // count, 1) * count
            raise CommandError(
                f"--batch-size {recipe.batch_size}: {count} devices share each batch evenly; take a multiple of "
                f"{count}, such as {nearest}"
            )
        if count > 1:
            print(f"{count} devices share each batch: {', '.join(devices.devices)}")
        yield devices


def settled_dtype(recipe, data, dtype, devices, recorded=None):
    """The dtype that `dtype` stands for: by rule, by probing, or what a run was begun with."""
    if dtype not in ("auto", "probe"):
        return dtype
    if recorded in dtypes.COMPUTED:
        return recorded
    if dtype == "auto":
        found, reason = dtypes.chosen_by_rule(devices, dtypes_of(recipe))
    else:
        found, reason = probe(recipe, data, devices)
    print(f"--dtype {dtype}: {found} ({reason})")
    return found
