"""Checks that a model's loss is a function of its weights and data, as an optimizer with a search needs it."""

import keras

RANDOM = (  # layers that draw numbers in training
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)
SET_RATES = keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau


def check_loss_is_a_function(owner, model):
    """Raise a ValueError for what would make two evaluations of the loss at one point differ.

    Args:
        owner: str, the optimizer's class.
        model: compiled `keras.Model`.
    """
    if type(model).train_step is not keras.Model.train_step:
        raise ValueError(
            f"{owner} needs the loss of each micro-batch, and {type(model).__name__} has a `train_step` of its own, "
            "which does not give it: leave that out."
        )
    if model.optimizer.loss_scale_factor is not None or hasattr(model.optimizer, "inner_optimizer"):
        raise ValueError(f"{owner} goes by the loss as it is: leave loss scaling out, with float32 or mixed_bfloat16.")
    for variable in model.trainable_variables:
        if getattr(variable, "constraint", None) is not None:
            raise ValueError(
                f"{owner}: '{variable.path}' has a constraint, which a step along a line leaves: leave it out, or "
                "train with an optimizer without a search."
            )
    for layer in model._flatten_layers():
        if reason := _reason(layer):
            raise ValueError(
                f"{owner}: the layer '{layer.name}' {reason}, so that two evaluations of the loss at one point differ, "
                "which a search cannot decide by. Leave it out."
            )


def check_callbacks(owner, callbacks):
    """Raise a ValueError for callbacks of `fit` that would set a learning rate, where a search finds the step.

    Args:
        owner: str, the optimizer's class.
        callbacks: list of callbacks.
    """
    for callback in callbacks:
        if isinstance(callback, SET_RATES) or type(callback).__name__ == "LearningRateFinder":
            raise ValueError(f"{owner}: a search finds the step, so leave out {type(callback).__name__}.")


def _reason(layer):
    """Why the output of a layer is not a function of its weights and its input alone; None if it is."""
    if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
        return "normalises each micro-batch by its own statistics (set `trainable = False`, or use LayerNormalization)"
    if isinstance(layer, keras.layers.SpectralNormalization):
        return "changes its weights at each call"
    draws = isinstance(layer, RANDOM) and (getattr(layer, "rate", None) or getattr(layer, "stddev", None))
    if draws or layer.__class__.__name__.startswith("Random") or getattr(layer, "dropout", 0):
        return "draws random numbers"
    return None
