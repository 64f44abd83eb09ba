"""What forks do for a search. Each function takes what all trials share first: a `Shared`."""

import csv
import dataclasses
import os
import pathlib
import pickle
import resource
import statistics
import tempfile
import time
import types
import warnings

from recipes.errors import CommandError, WorldError
from recipes.machine import dtypes, strategies
from recipes.run.run import Run, read_json
from recipes.settings.schedules import make_schedule
from recipes.training.train import recipe_name
from recipes.tuning.space import default_rates, paces
from recipes.tuning.trial import STATE, train_trial

WEIGHTS = "model.weights.h5"
HARMLESS_RATE = 1e-6  # of a training that is only timed
POINTS = 200  # of a learning rate that is drawn


class Shared:
    """What all trials of a search have in common.

    Args:
        hypermodel: `keras_tuner.HyperModel`.
        place: `Place`.
        arguments, named_arguments: of `search`, for the hypermodel's `fit`.
    """

    def __init__(self, hypermodel, place, arguments=(), named_arguments=None):
        self.hypermodel, self.place = hypermodel, place
        self.arguments, self.named_arguments = arguments, named_arguments or {}

        self._left = None

    def leave(self, data):
        """Let all trials have data that a fork has loaded, once the process that they are forks of takes them."""
        with open(os.dup(self._left), "wb") as file:
            file.seek(0)
            pickle.dump(data, file, protocol=5)

    def take(self):
        """Take them."""
        with open(os.dup(self._left), "rb") as file:
            file.seek(0)
            self.hypermodel.data = pickle.load(file)
        os.ftruncate(self._left, 0)

    def __setstate__(self, state):
        """Arrive in the process that forks, with a file in its memory, which the forks have too."""
        self.__dict__ |= state
        self._left = os.memfd_create("keras-descent-data")


def look(shared):
    """Load a recipe's data once for all trials.

    Returns:
        A dict: `updates`, the fewest that a run of all epochs makes.

    Raises:
        CommandError: nothing is held out that trials could be scored on.
    """
    hypermodel = shared.hypermodel
    data, settings = hypermodel.data, hypermodel.settings
    if hasattr(data, "validation") and len(data.validation[1]) == 0:
        raise CommandError(f"--validation-split {settings.validation_split} of {data.sizes()} holds none out")
    updates = [hypermodel.recipe.updates(each, data) for each in paces(hypermodel.space, settings)]
    if not updates:
        raise CommandError("--space: no optimizer, steps and batch size in it go together")
    shared.leave(data)
    return {"updates": min(updates)}


def rates(shared, schedules):
    """Learning rates of schedules.

    Args:
        schedules: list of `(schedule, highest rate, updates)`.

    Returns:
        A dict: `rates`, a list of lists of `POINTS` rates, evenly over the updates.
    """
    import numpy as np
    from keras import ops

    found = []
    for text, highest, updates in schedules:
        rate, at = make_schedule(text, highest, updates), np.linspace(0, updates - 1, POINTS).astype(int)
        found.append([float(ops.convert_to_numpy(rate(int(n)))) if callable(rate) else rate for n in at])
    return {"rates": found}


def pace(shared, settings, limit):
    """How fast a contender trains, by training it for a while.

    Args:
        settings: of what is trained; their epochs are the most that are made.
        limit: float, seconds after which no further epoch is begun, but for the second; None: it is not trained.

    Returns:
        A dict: `updates`, of an epoch; `seconds`, the median of the epochs behind the first, which is compiled, or
        None.
    """
    updates = shared.hypermodel.recipe.updates(settings, shared.hypermodel.data) / settings.epochs
    return {"updates": updates, "seconds": None if limit is None else _seconds(shared, settings, limit)}


def _seconds(shared, settings, limit):
    """The median of the epochs behind the first, at a learning rate that cannot diverge."""
    import keras

    def enough(epoch, logs=None):
        watch.model.stop_training = epoch > 0 and time.monotonic() - start > limit

    recipe, data = shared.hypermodel.recipe, shared.hypermodel.data
    settings = dataclasses.replace(settings, learning_rate=HARMLESS_RATE)
    watch = keras.callbacks.LambdaCallback(on_epoch_end=enough)
    with (
        tempfile.TemporaryDirectory() as directory,
        strategies.resolve(shared.place.strategy).scope(),
        dtypes.policy(shared.place.dtype),
        Run(recipe_name(recipe), settings, directory) as run,
    ):
        run.begin(data.about())
        start = time.monotonic()
        recipe.fit(settings, run, data, verbose=0, callbacks=[watch])
        with open(run.directory / "timing.csv", newline="") as file:
            times = [float(row["seconds"]) for row in csv.DictReader(file)]
    return statistics.median(times[1:] or times)


def find_rates(shared, optimizer, settings=None):
    """The lowest and the highest learning rate that are worth a trial, by a range test.

    Args:
        optimizer: as `--optimizer` takes it.
        settings: that the test is made with, but for the optimizer; by default those that are shared.

    Returns:
        A dict: `low`, `high`; those of the optimizer's kind if the test finds none.
    """
    hypermodel = shared.hypermodel
    recipe, given = hypermodel.recipe, {"schedule": "constant"}
    if settings is None and hasattr(hypermodel.settings, "optimizer"):
        given |= {"optimizer": optimizer, "momentum": None}
    settings = dataclasses.replace(settings or hypermodel.settings, **given)
    with (
        strategies.resolve(shared.place.strategy).scope(),
        dtypes.policy(shared.place.dtype),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # of a test that finds nothing
        found = recipe.find_rates(settings, hypermodel.data)
    low, high = found or default_rates(optimizer)
    return {"low": low, "high": high}


def train_recipe(shared, hypermodel, values, directory, max_epochs):
    """A trial of a `RecipeHyperModel`, which may have other settings than the one that is shared, and has its data.

    Returns:
        A dict: `metrics`, as `train_trial` gives them.
    """
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values = values
    settings, data = hypermodel.settings_of(hp), shared.hypermodel.data
    result = train_trial(hypermodel.recipe, settings, directory, shared.place, max_epochs, data)
    return {"metrics": {name: value for name, value in result.items() if name != "of"}}


def trained(hypermodel, hp, directory):
    """The model of a trial of a `RecipeHyperModel`, which goes on from its run's last state to where training ended.

    Raises:
        WorldError: there is no such run.
    """
    settings = hypermodel.settings_of(hp)
    recorded = read_json(directory / "config.json") or {}
    if not (directory / STATE).exists():
        raise WorldError(f"no run at {directory}; another machine may have trained it")
    own = {field.name for field in dataclasses.fields(settings)}
    extra = {name: value for name, value in recorded.items() if name not in (*own, "recipe", "trained_on")}
    with Run(recipe_name(hypermodel.recipe), settings, directory, extra) as run, dtypes.policy(extra["dtype"]):
        return hypermodel.recipe.fit(settings, run, hypermodel.data, verbose=0)[0]


def train_run(shared, settings, directory):
    """A whole run as `train` makes it, judged on the test part.

    Returns:
        A dict: `peak`, the largest memory of its process in MiB beyond what it began with; None if it was done before.
    """
    from recipes.training.train import train

    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = read_json(pathlib.Path(directory, "result.json")) is not None
    place = shared.place
    options = {"strategy": place.strategy, "dtype": place.dtype, "data_dir": place.data_dir}
    train(shared.hypermodel.recipe, settings, directory, **options)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) / 1024  # KiB on Linux
    return {"peak": None if done else peak}


def train_model(shared, config, directory, objective, seed):
    """A trial of any other hypermodel: `build` and `fit`; its weights are saved.

    Returns:
        A dict: `metrics` of the last epoch, or what `fit` of the hypermodel returns; `hyperparameters`, a config, with
        those that came up on the way.
    """
    import keras
    import keras_tuner

    hp = keras_tuner.HyperParameters.from_config(config)
    named = {"callbacks": [], **shared.named_arguments}
    if "tuner/epochs" in hp.values:
        named["epochs"] = hp.values["tuner/epochs"]
    keras.utils.set_random_seed(seed)
    with strategies.resolve(shared.place.strategy).scope():
        model = shared.hypermodel.build(hp)
        made = shared.hypermodel.fit(hp, model, *shared.arguments, **named)
    model.save_weights(pathlib.Path(directory, WEIGHTS))
    return {"metrics": _metrics(made, objective), "hyperparameters": hp.get_config()}


def _metrics(made, objective):
    """What `fit` of a hypermodel returns, as a dict of floats."""
    if hasattr(made, "history"):
        made = {name: values[-1] for name, values in made.history.items()}
    if isinstance(made, (list, tuple)):
        several = [_metrics(each, objective) for each in made]
        return {name: sum(each[name] for each in several) / len(several) for name in several[0]}
    if not isinstance(made, dict):
        made = {objective: made}
    try:
        return {name: float(value) for name, value in made.items()}
    except (TypeError, ValueError):
        raise CommandError(
            f"`fit` of a hypermodel returns a History, a dict of numbers or a number; this one {type(made).__name__}"
        ) from None


def explore(shared, config):
    """The space that a hypermodel declares in `build`, with all of its conditions.

    Returns:
        A dict: `space`, the config of `keras_tuner.HyperParameters`.
    """
    import keras_tuner
    from keras_tuner.src.engine.base_tuner import BaseTuner

    hp = keras_tuner.HyperParameters.from_config(config)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", hyperparameters=hp)
    with strategies.resolve(shared.place.strategy).scope():
        BaseTuner._activate_all_conditions(types.SimpleNamespace(oracle=oracle, hypermodel=shared.hypermodel))
    return {"space": oracle.get_space().get_config()}
