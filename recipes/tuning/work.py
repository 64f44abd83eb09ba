"""What forks do for searches and comparisons of recipes.

Each function takes what all trials share first, a `Shared` whose hypermodel is a `RecipeHyperModel`, and returns a dict
for JSON.
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
from recipes.tuning.space import default_rates, optimizer_of, paces
from recipes.tuning.trial import train_trial

HARMLESS_RATE = 1e-6  # of a training that is only timed
POINTS = 200  # of a learning rate that is drawn


def look(shared):
    """Load a recipe's data once, and leave them for all trials.

    Returns:
        A dict: `updates`, the fewest that a run of all epochs makes.

    Raises:
        CommandError: nothing is held out that trials could be scored on.
    """
    hypermodel = shared.hypermodel
    _check_held_out(hypermodel.recipe, hypermodel.data)
    updates = [each.updates(hypermodel.data) for each in paces(hypermodel.space, hypermodel.recipe)]
    if not updates:
        raise CommandError("--space: no optimizer, steps and batch size in it go together")
    shared.leave(hypermodel.data)
    return {"updates": min(updates)}


def _check_held_out(recipe, data):
    if data.about().get("validation") != 0:  # of data that do not say so, a recipe's own are judged by
        return
    if "validation_split" in recipe.settings():
        raise CommandError(f"--validation-split {recipe.validation_split} of {data.sizes()} holds none out")
    raise CommandError(f"trials are scored on samples that are held out, and there are none: {data.sizes()}")


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
    """How fast a contender trains, by training it for a while.

    Args:
        recipe: what is trained; its epochs are the most that are made.
        limit: float, seconds after which no further epoch is begun, but for the second; None: it is not trained.

    Returns:
        A dict: `updates`, of an epoch; `seconds`, the median of the epochs behind the first, which is compiled, or
        None.
    """
    updates = recipe.updates(shared.hypermodel.data) / recipe.epochs
    return {"updates": updates, "seconds": None if limit is None else _seconds(shared, recipe, limit)}


def _seconds(shared, recipe, limit):
    """The median of the epochs behind the first, at a learning rate that cannot diverge."""

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
        run.begin(data.about())
        start = time.monotonic()
        training.fit(recipe, run, data, verbose=0, callbacks=[watch])
        times = runs.seconds_of(run.directory)
    return statistics.median(times[1:] or times)


def find_rates(shared, recipe):
    """The lowest and the highest learning rate of a recipe that are worth a trial, by a range test.

    Returns:
        A dict: `low`, `high`; those of the optimizer's kind if the test finds none.
    """
    data = shared.hypermodel.data
    steady = {"schedule": "constant"} if "schedule" in recipe.settings() else {}
    recipe = dataclasses.replace(recipe, **steady)
    with shared.place.computing(recipe, data):
        low, high = training.find_rates(recipe, data) or default_rates(optimizer_of(recipe))
    return {"low": low, "high": high}


def train_recipe(shared, hypermodel, values, directory, max_epochs):
    """A trial of a `RecipeHyperModel`, which may have other settings than the one that is shared, and has its data.

    Returns:
        A dict: `metrics`, as `train_trial` gives them.
    """
    hp = keras_tuner.HyperParameters()
    hp.values = values
    recipe, data = hypermodel.recipe_of(hp), shared.hypermodel.data
    result = train_trial(recipe, directory, shared.place, max_epochs, data)
    return {"metrics": {name: value for name, value in result.items() if name != "of"}}


def train_run(shared, recipe, directory):
    """A whole run as `training.train` makes it, judged on the test part.

    Returns:
        A dict: `peak`, the largest memory of its process in MiB beyond what it began with; None if it was done before.
    """
    begin, is_done = peak_mib(), runs.result_of(directory) is not None
    training.train(recipe, directory, **dataclasses.asdict(shared.place))
    return {"peak": None if is_done else peak_mib() - begin}


def trained(hypermodel, hp, directory):
    """The model of a trial of a `RecipeHyperModel`, which goes on from its run's last state to where training ended.

    Raises:
        WorldError: there is no such run.
    """
    if not runs.has_state(directory):
        raise WorldError(f"no run at {directory}; another machine may have trained it")
    recipe, config = hypermodel.recipe_of(hp), runs.config_of(directory)
    extra = {name: config[name] for name in ("backend", "strategy", "dtype")}
    with dtypes.policy(extra["dtype"]), runs.Run(recipe, directory, extra, kind="trial") as run:
        return recipe.trained(training.fit(recipe, run, hypermodel.data, verbose=0)[0], run)
