import contextlib
import csv
import dataclasses
import io
import pathlib
import resource
import shutil
import sys
import tempfile
import time

from recipes.commands.keras_session import start_keras
from recipes.commands.train import recipe_name
from recipes.environment import machine
from recipes.leaving import cleaned_up
from recipes.run import Run

BATCHES = 8  # of training that the estimate is taken from
EPOCHS = 3  # the first compiles


def dry_run(recipe, settings, seeds=None, data_dir=None, download=False):
    """Print what a run would be: its settings, its parameters, and the time and memory it takes, measured on a part.

    A few batches are trained on and thrown away. Nothing is left behind.

    Args:
        recipe, settings, data_dir, download: as for `train`.
        seeds: int, how many such runs; one by default.
    """
    begun = time.perf_counter()
    start_keras()
    data = recipe.load(settings, data_dir, download)
    parameters = recipe.build_model(settings, data).count_params()
    share = min(1.0, BATCHES * settings.batch_size / data.train_size)
    epochs = _epochs(recipe, dataclasses.replace(settings, **{"epochs": EPOCHS}), data.part(share))
    epoch = min(epochs[1:]) / share
    once = time.perf_counter() - begun - sum(epochs[1:])  # imports, loading, compiling, judging, saving
    for name, value in dataclasses.asdict(settings).items():
        print(f"{name:16} {value}")
    print(f"\n{data.sizes()}; {parameters:,} parameters")
    total = once + (seeds or 1) * settings.epochs * epoch
    runs = f" of each of {seeds} seeds" if seeds else ""
    print(f"{total:,.0f} s expected on {machine()['cores']} cores, {epoch:.2f} s an epoch{runs}")
    print(f"{_peak_mib():,.0f} MiB of memory, all images loaded and {BATCHES} batches trained on")


def _epochs(recipe, settings, data):
    """Seconds of each epoch of a short run."""
    directory = tempfile.mkdtemp()
    with cleaned_up(lambda: shutil.rmtree(directory)), contextlib.redirect_stdout(io.StringIO()):
        with Run(recipe_name(recipe), settings, directory) as run:
            run.begin(data.about())
            recipe.train(settings, run, data)
        with open(pathlib.Path(directory, "timing.csv"), newline="") as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)]


def _peak_mib():
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
