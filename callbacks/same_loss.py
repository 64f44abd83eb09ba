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
AUGMENT = "Random", "RandAugment", "AugMix", "CutMix", "MixUp"  # how the names of Keras's layers begin that do
SHORT = "bfloat16", "float16"  # dtypes of two or three digits
SHARES = "dropout", "recurrent_dropout"  # attributes of layers: of what they leave out, at random
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
    if model.built and not model.trainable_variables:
        raise ValueError(f"{owner}: the model has no weights to train: set `trainable = True` for some of its layers.")
    if not model.optimizer.search.is_of(model.trainable_variables):
        raise ValueError(
            f"{owner}: its search is of other weights, since layers have been frozen or made trainable, or of another "
            f"model: give `compile` a new {owner}."
        )
    for variable in model.trainable_variables:
        if getattr(variable, "constraint", None) is not None:
            raise ValueError(
                f"{owner}: '{variable.path}' has a constraint, which a step along a line leaves: leave it out, or "
                "train with an optimizer without a search."
            )
    line_search = model.optimizer.search.line_search
    for layer in model._flatten_layers():
        if line_search.takes_differences and layer.weights and layer.compute_dtype in SHORT:
            raise ValueError(
                f"{owner}: {type(line_search).__name__} takes the difference of two gradients, and the layer "
                f"'{layer.name}' computes in {layer.compute_dtype}, which leaves nothing of it: give float32, or "
                "another line search."
            )
        if reason := _reason(layer):
            raise ValueError(
                f"{owner}: the layer '{layer.name}' {reason}, so that two evaluations of the loss at one point differ, "
                "which a search cannot decide by. Leave it out."
            )


def check_callbacks(owner, callbacks, is_in_parts, has_rate=False):
    """Raise a ValueError for callbacks of `fit` that do not go with a search.

    Args:
        owner: str, the optimizer's class.
        callbacks: list of callbacks.
        is_in_parts: bool, whether a pass may be several micro-batches, between which weights are only tried.
        has_rate: bool, whether a rule with a learning rate comes before the search.
    """
    finds = "a search finds the step"
    if has_rate:
        finds += " in the end, and before that a schedule of the inner optimizer does, by its updates"
    for callback in callbacks:
        kind, every = type(callback).__name__, getattr(callback, "save_freq", None)
        if isinstance(callback, keras.callbacks.TerminateOnNaN):
            raise ValueError(f"{owner}: a search shortens a step to where the loss is not finite, so leave out {kind}.")
        if is_in_parts and every and every != "epoch":
            raise ValueError(
                f"{owner}: {kind}(save_freq={every}) saves in the middle of a pass, where weights are only tried: "
                "give it save_freq='epoch'."
            )
        if isinstance(callback, SET_RATES) or type(callback).__name__ == "LearningRateFinder":
            raise ValueError(f"{owner}: {finds}, so leave out {kind}.")


def _reason(layer):
    """Why the output of a layer is not a function of its weights and its input alone; None if it is."""
    if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
        return "normalises each micro-batch by its own statistics (set `trainable = False`, or use LayerNormalization)"
    if isinstance(layer, keras.layers.SpectralNormalization):
        return "changes its weights at each call"
    return "draws random numbers" if _draws(layer) else None


def _draws(layer):
    """Whether a layer draws random numbers in training."""
    if isinstance(layer, RANDOM):
        return bool(getattr(layer, "rate", None) or getattr(layer, "stddev", None))
    of_keras = [each.__name__ for each in type(layer).__mro__ if each.__module__.startswith("keras.")]
    shares = [value for value in (getattr(layer, name, None) for name in SHARES) if isinstance(value, (int, float))]
    # Recurrent layers and cells of Keras have a generator which they use by these shares alone.
    has_generator = not type(layer).__module__.startswith("keras.") and not shares and bool(layer._seed_generators)
    return any(shares) or has_generator or any(name.startswith(AUGMENT) for name in of_keras)
