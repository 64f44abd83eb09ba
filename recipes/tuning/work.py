"""Functions that forks call, for searches and comparisons of recipes.

Each takes first a `Shared`, whose hypermodel is a `RecipeHyperModel`, and returns a dict that can be written as JSON.
"""

import dataclasses
import statistics
import tempfile
import time

import keras
import keras_tuner
import numpy as np

from recipes import optimization, training
from recipes import run as runs
from recipes.errors import CommandError, WorldError
from recipes.machine import dtypes
from recipes.machine.memory import peak_mib
from recipes.settings.optimizers import before_switch
from recipes.tuning.space import default_rates, optimizer_of, paces
from recipes.tuning.trial import train_trial

HARMLESS_RATE = 1e-6  # learning rate of a training that is only timed: it cannot diverge
POINTS = 200  # points of a curve of learning rates


def load_data(shared):
    """Load a recipe's data once, and hand them over to the server for all trials.

    Returns:
        A dict: `updates`, the smallest number of updates that a run of all epochs can have.

    Raises:
        CommandError: there is no validation part on which trials could be scored.
    """
    hypermodel = shared.hypermodel
    _check_held_out(hypermodel.recipe, hypermodel.data)
    updates = [each.updates(hypermodel.data) for each in paces(hypermodel.space, hypermodel.recipe)]
    if not updates:
        raise CommandError("--space: no optimizer, steps and batch size in it go together")
    shared.hand_over(hypermodel.data)
    return {"updates": min(updates)}


def _check_held_out(recipe, data):
    if data.about().get("validation") != 0:  # data without the key are those of a recipe that judges in another way
        return
    if "validation_split" in recipe.settings():
        raise CommandError(f"--validation-split {recipe.validation_split} of {data.sizes()} holds none out")
    raise CommandError(f"trials are scored on samples that are held out, and there are none: {data.sizes()}")


def check_model(shared, recipe):
    """Raise a CommandError if the model of a recipe cannot be trained as its optimizer asks for."""
    data = shared.hypermodel.data
    with shared.place.computing(recipe, data):
        training.contract.model(recipe, data)
    return {}


def rates(shared, schedules):
    """Learning rates of schedules.

    Args:
        schedules: list of `(schedule, highest rate, updates)`.

    Returns:
        A dict: `rates`, a list of lists of `POINTS` rates, evenly over the updates.
    """
    return {"rates": [_rates(*each) for each in schedules]}


def _rates(text, highest, updates):
    rate = optimization.make_schedule(text, highest, updates)
    if not callable(rate):
        return [rate] * POINTS
    at = np.linspace(0, updates - 1, POINTS).astype(int)
    return [float(keras.ops.convert_to_numpy(rate(int(update)))) for update in at]


def pace(shared, recipe, limit):
    """Measure how fast a contender trains, by training it for a few epochs.

    Args:
        recipe: `recipes.recipe.Recipe`; at most its epochs are trained.
        limit: float, seconds after which no third or later epoch begins; None if seconds are not needed.

    Returns:
        A dict: `updates`, of an epoch; `seconds`, of an epoch: the median without the first one, which includes
        compiling, or None.
    """
    updates = recipe.updates(shared.hypermodel.data) / recipe.epochs
    return {"updates": updates, "seconds": None if limit is None else _seconds(shared, recipe, limit)}


def _seconds(shared, recipe, limit):
    """The median seconds of an epoch without the first one, at a learning rate that cannot diverge."""

    def enough(epoch, logs=None):
        watch.model.stop_training = epoch > 0 and time.monotonic() - start > limit

    data = shared.hypermodel.data
    recipe = dataclasses.replace(recipe, learning_rate=HARMLESS_RATE)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=enough)
    with (
        shared.place.computing(recipe, data),
        tempfile.TemporaryDirectory() as directory,
        runs.Run(recipe, directory) as run,
    ):
        run.begin(training.contract.about(recipe, data))
        start = time.monotonic()
        training.fit(recipe, run, data, verbose=0, callbacks=[watch])
        times = runs.seconds_of(run.directory)
    return statistics.median(times[1:] or times)


def find_rates(shared, recipe):
    """The range of learning rates that is worth searching, by a range test.

    Returns:
        A dict: `low`, `high`; the defaults of the optimizer if the test finds no rates. Before a switch to a search,
        those of the first optimizer.
    """
    data = shared.hypermodel.data
    steady = {"schedule": "constant", "optimizer": before_switch(optimizer_of(recipe))}
    recipe = dataclasses.replace(recipe, **{name: steady[name] for name in steady if name in recipe.settings()})
    with shared.place.computing(recipe, data):
        low, high = training.find_rates(recipe, data) or default_rates(optimizer_of(recipe))
    return {"low": low, "high": high}


def train_recipe(shared, hypermodel, values, directory, max_epochs):
    """Train a trial of a `RecipeHyperModel`, on the data of the shared one, whose settings may differ.

    Returns:
        A dict: `metrics`, as `train_trial` returns them.
    """
    hp = keras_tuner.HyperParameters()
    hp.values = values
    recipe, data = hypermodel.recipe_of(hp), shared.hypermodel.data
    result = train_trial(recipe, directory, shared.place, max_epochs, data)
    return {"metrics": {name: value for name, value in result.items() if name != "of"}}


def train_run(shared, recipe, directory):
    """Train a whole run by `training.train`, and judge it on the test part.

    Returns:
        A dict: `peak`, by how many MiB the memory of its process grew at most; None if the run was done before.
    """
    begin, is_done = peak_mib(), runs.result_of(directory) is not None
    training.train(recipe, directory, **dataclasses.asdict(shared.place))
    return {"peak": None if is_done else peak_mib() - begin}


def trained(hypermodel, hp, directory):
    """The trained model of a trial of a `RecipeHyperModel`, restored from the last state of its run.

    Raises:
        WorldError: there is no such run.
    """
    if not runs.has_state(directory):
        raise WorldError(f"no run at {directory}; another machine may have trained it")
    recipe, config = hypermodel.recipe_of(hp), runs.config_of(directory)
    extra = {name: config[name] for name in ("backend", "strategy", "dtype")}
    with dtypes.policy(extra["dtype"]), runs.Run(recipe, directory, extra, kind="trial") as run:
        return recipe.trained(training.fit(recipe, run, hypermodel.data, verbose=0)[0], run)
