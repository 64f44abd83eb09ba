import contextlib
import csv
import dataclasses
import io
import pathlib
import resource
import sys
import tempfile
import time

from recipes.commands.keras_session import start_keras
from recipes.commands.train import recipe_name
from recipes.environment import machine
from recipes.run import Run

BATCHES = 8  # of training that the estimate is taken from
EPOCHS = 3  # the first compiles


def dry_run(recipe, settings, data_dir=None, download=False):
    """Print what a run would be: its settings, its parameters, and the time and memory it takes, measured on a part.

    A few batches are trained on and thrown away. Nothing is left behind.

    Args:
        recipe, settings, data_dir, download: as for `train`.
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
    print(f"{once + settings.epochs * epoch:,.0f} s expected on {machine()['cores']} cores, {epoch:.2f} s an epoch")
    print(f"{_peak_mib():,.0f} MiB of memory, all images loaded and {BATCHES} batches trained on")


def _epochs(recipe, settings, data):
    """Seconds of each epoch of a short run."""
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        with Run(recipe_name(recipe), settings, directory) as run:
            run.begin(data.about())
            recipe.train(settings, run, data)
        with open(pathlib.Path(directory, "timing.csv"), newline="") as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)]


def _peak_mib():
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
