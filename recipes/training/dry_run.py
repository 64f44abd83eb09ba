import dataclasses
import resource
import sys
import time

from recipes.errors import CommandError
from recipes.machine import dtypes, strategies
from recipes.machine.backend import start_keras
from recipes.machine.environment import machine
from recipes.training.probe import BATCHES, measured_epochs
from recipes.training.train import computing, devices_for, settled_dtype


def dry_run(recipe, settings, seeds=None, *, strategy="auto", dtype=None, data_dir=None, download=False):
    """Print what a run would be: its settings, its parameters, and the time and memory it takes, measured on a part.

    A few batches are trained on and thrown away. Nothing is left behind.

    Args:
        recipe, settings, strategy, dtype, data_dir, download: as for `train`.
        seeds: int, how many such runs; one by default.
    """
    begun = time.perf_counter()
    extra = computing(recipe, settings, strategy, dtype)
    if strategies.is_one_of_several():
        raise CommandError("--dry-run measures one process; several were asked for by KERAS_DISTRIBUTION_…")
    start_keras(strategy, recipe.DTYPE)
    with devices_for(settings, strategy) as devices:
        data = recipe.load(settings, data_dir, download)
        extra |= {"strategy": devices.name, "dtype": settled_dtype(recipe, settings, data, extra["dtype"], devices)}
        with dtypes.policy(extra["dtype"]):
            parameters = recipe.build_model(settings, data).count_params()
            epochs, share = measured_epochs(recipe, settings, data, extra)
    epoch = min(epochs[1:]) / share
    once = time.perf_counter() - begun - sum(epochs[1:])  # imports, loading, compiling, judging, saving
    for name, value in {**dataclasses.asdict(settings), **extra}.items():
        print(f"{name:28} {value}")
    print(f"\n{data.sizes()}; {parameters:,} parameters")
    total = once + (seeds or 1) * settings.epochs * epoch
    runs = f" of each of {seeds} seeds" if seeds else ""
    print(f"{total:,.0f} s expected on {machine()['cores']} cores, {epoch:.2f} s an epoch{runs}")
    print(f"{_peak_mib():,.0f} MiB of memory, all images loaded and {BATCHES} batches trained on")


def _peak_mib():
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
