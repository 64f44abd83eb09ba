"""Functions that forks call, for searches of hypermodels that are not recipes.

Each takes first a `Shared`, which all trials have in common, and returns a dict that can be written as JSON.
"""

import pathlib
import types

import keras
import keras_tuner
from keras_tuner.src.engine.base_tuner import BaseTuner

from recipes.errors import CommandError
from recipes.machine import strategies

WEIGHTS = "model.weights.h5"


def train_model(shared, config, directory, objective, seed):
    """Train a trial by `build` and `fit` of the hypermodel, and save its weights.

    Args:
        config: config of its `keras_tuner.HyperParameters`.
        directory: path of the trial's directory.
        objective: str, the name of the number if `fit` returns one number.
        seed: int.

    Returns:
        A dict: `metrics`, of the last epoch or as `fit` of the hypermodel returns them; `hyperparameters`, a config
        that includes those declared while it ran.
    """
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

    Args:
        config: config of the `keras_tuner.HyperParameters` that are declared already.

    Returns:
        A dict: `space`, the config of `keras_tuner.HyperParameters`.
    """
    hp = keras_tuner.HyperParameters.from_config(config)
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", hyperparameters=hp)
    with strategies.resolve(shared.place.strategy).scope():
        BaseTuner._activate_all_conditions(types.SimpleNamespace(oracle=oracle, hypermodel=shared.hypermodel))
    return {"space": oracle.get_space().get_config()}
