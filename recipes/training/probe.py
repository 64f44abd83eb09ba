import contextlib
import dataclasses
import io
import shutil
import tempfile

from recipes import training
from recipes.errors import WorldError
from recipes.machine import dtypes
from recipes.machine.leaving import cleaned_up
from recipes.run.run import Run
from recipes.run.timing import seconds_of
from recipes.settings.beside_search import dtypes_of

BATCHES = 8  # batches of an epoch that is measured
EPOCHS = 3  # epochs that are trained; the first one compiles, and is not measured
GAIN = 0.95  # a dtype of fewer bits is chosen if it takes less than this share of the time of float32


def probe(recipe, data, devices):
    """Choose the fastest dtype of a recipe, by training on a few batches in each dtype.

    On a processor float16 is not tried, since it is far too slow there.

    Args:
        recipe, data: the recipe that is trained, and its data.
        devices: `recipes.machine.strategies.Strategy`.

    Returns:
        `(dtype, reason)`: the fastest dtype, or float32 if that is at most 5 % slower; and the measured times in words.
    """
    seconds = {}
    for dtype in dtypes_of(recipe):
        if dtype == "float16" and not dtypes.is_gpu(devices.devices[0]):
            continue
        with dtypes.policy(dtype):
            epochs, share = measured_epochs(recipe, data, {"strategy": devices.name, "dtype": dtype})
        seconds[dtype] = min(epochs[1:]) / share
    fastest = min(seconds, key=seconds.get)
    found = fastest if seconds[fastest] < GAIN * seconds[recipe.dtypes[0]] else recipe.dtypes[0]
    return found, "an epoch takes " + ", ".join(f"{value:.2f} s in {dtype}" for dtype, value in seconds.items())


def measured_epochs(recipe, data, computed):
    """Train a few epochs on a few batches, in a temporary directory.

    Args:
        recipe, data: the recipe that is trained, and its data.
        computed: dict of `strategy` and `dtype`, for the config of that run.

    Returns:
        `(seconds, share)`: the seconds of each epoch, of which the first one compiles, and the share of the training
        part that an epoch trains on.

    Raises:
        WorldError: training diverges.
    """
    share = min(1.0, BATCHES * recipe.batch_size / data.train_size)
    recipe, directory = dataclasses.replace(recipe, epochs=EPOCHS), tempfile.mkdtemp()
    with (
        cleaned_up(lambda: shutil.rmtree(directory)),
        contextlib.redirect_stdout(io.StringIO()),
        Run(recipe, directory, computed) as run,
    ):
        part = data.part(share)
        run.begin(training.contract.about(recipe, part))
        result = training.train_and_judge(recipe, run, part, verbose=0)
        if result["outcome"] == training.DIVERGED:
            raise WorldError(f"training diverges, so that no epoch can be measured: {result['reason']}")
        return seconds_of(run.directory), share
