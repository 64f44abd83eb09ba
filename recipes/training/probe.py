import contextlib
import csv
import dataclasses
import io
import pathlib
import shutil
import tempfile

from recipes.machine import dtypes
from recipes.machine.leaving import cleaned_up
from recipes.run.run import Run

BATCHES = 8  # of training that is measured
EPOCHS = 3  # the first compiles
GAIN = 0.95  # of the seconds of float32: what is not faster by more is not worth fewer bits


def probe(recipe, settings, data, devices):
    """Train a few batches in each dtype of the recipe, throw them away, and choose.

    Processors compute float16 too slowly to try.

    Args:
        devices: `recipes.machine.strategies.Strategy`.

    Returns:
        `(dtype, reason)`: the fastest, unless float32 is as fast within 5 %; what was measured, in words.
    """
    seconds = {}
    for dtype in dtypes.computed_by(recipe):
        if dtype == "float16" and not dtypes.is_gpu(devices.devices[0]):
            continue
        with dtypes.policy(dtype):
            epochs, share = measured_epochs(recipe, settings, data, {"strategy": devices.name, "dtype": dtype})
        seconds[dtype] = min(epochs[1:]) / share
    fastest = min(seconds, key=seconds.get)
    found = fastest if seconds[fastest] < GAIN * seconds["float32"] else "float32"
    return found, "an epoch takes " + ", ".join(f"{value:.2f} s in {dtype}" for dtype, value in seconds.items())


def measured_epochs(recipe, settings, data, computing):
    """Train a few epochs on a few batches in a directory that is thrown away.

    Args:
        computing: dict, for the config of that run.

    Returns:
        `(seconds, share)`: seconds of each epoch, the first with compiling, and their share of the training part.
    """
    share = min(1.0, BATCHES * settings.batch_size / data.train_size)
    settings = dataclasses.replace(settings, **{"epochs": EPOCHS})
    directory = tempfile.mkdtemp()
    with cleaned_up(lambda: shutil.rmtree(directory)), contextlib.redirect_stdout(io.StringIO()):
        with Run(recipe.__name__.rpartition(".")[2], settings, directory, computing) as run:
            part = data.part(share)
            run.begin(part.about())
            recipe.train(settings, run, part)
        with open(pathlib.Path(directory, "timing.csv"), newline="") as file:
            return [float(row["seconds"]) for row in csv.DictReader(file)], share
