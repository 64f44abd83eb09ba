import dataclasses
import time

from recipes import training
from recipes.errors import CommandError
from recipes.machine import dtypes, strategies
from recipes.machine.backend import start_keras
from recipes.machine.environment import machine
from recipes.machine.memory import peak_mib
from recipes.settings.fields import written
from recipes.settings.presets import changed
from recipes.settings.quantities import counted, duration
from recipes.training import contract
from recipes.training.computing import computing, devices_for, settled_dtype
from recipes.training.probe import BATCHES, measured_epochs


def dry_run(recipe, seeds=None, *, strategy="auto", dtype=None, data_dir=None, download=False, verbose=False):
    """Print what of a run is not usual, its parameters, and the time and memory it would take.

    Time and memory are measured by training on a few batches. No files are left behind.

    Args:
        recipe, strategy, dtype, data_dir, download: as for `train`.
        seeds: int, how many runs there would be; by default one.
        verbose: bool, whether all settings are printed.
    """
    begun = time.perf_counter()
    extra = computing(recipe, strategy, dtype)
    if strategies.is_one_of_several():
        raise CommandError("--dry-run measures one process; several were asked for by KERAS_DISTRIBUTION_…")
    start_keras(strategy, recipe.needs_float64)
    with devices_for(recipe, strategy) as devices:
        data = contract.load(recipe, data_dir, download)
        extra |= {"strategy": devices.name, "dtype": settled_dtype(recipe, data, extra["dtype"], devices)}
        with dtypes.policy(extra["dtype"]):
            parameters = contract.model(recipe, data).count_params()
            kept = training.kept_bytes(contract.batches(recipe, data), recipe.passes) if recipe.steps == "epoch" else 0
            epochs, share = measured_epochs(recipe, data, extra)
    once = time.perf_counter() - begun - sum(epochs[1:])  # imports, loading, compiling, judging, saving
    _tell_settings(recipe, extra, verbose)
    print(f"\n{data.sizes()}; {parameters:,} parameters")
    epoch = min(epochs[1:]) / share
    runs = f" of each of {seeds} seeds" if seeds else ""
    total = once + (seeds or 1) * recipe.epochs * epoch
    print(f"{duration(total)} expected on {machine()['cores']} cores, {duration(epoch)} an epoch{runs}")
    print(f"{peak_mib():,.0f} MiB of memory, all images loaded and {BATCHES} batches trained on")
    if kept:
        print(f"{kept / 2**20:,.1f} MiB of batches stay on the device between passes")


def _tell_settings(recipe, extra, all_of_them):
    """Print the settings that are not those of a command without options, and where to see the others."""
    every = dataclasses.asdict(recipe)
    variant = {name: every[name] for name in ("variant",) if name in every}
    told = every if all_of_them else variant | changed(recipe)
    for name, value in {"recipe": recipe.name(), **told, **extra}.items():
        print(f"{name:28} {written(value)}")
    if len(told) < len(every):
        print(f"and {counted(len(every) - len(told), 'setting')} as usual: --verbose shows them")
