import contextlib

import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import count
from custom_optimizers.backend import backend_module


class RecomputeStatistics(keras.callbacks.Callback):
    """Gives batch normalisation, at the end of training, statistics of the weights that training has ended with.

    ```python
    moving_mean, moving_variance = means over the batches of x of what the layer computes in training
    ```

    The moving averages that a layer keeps are of the last few batches, and of weights that have moved since; after full
    batches, whose weights move once a pass, they are of few samples. Nothing but these statistics is changed. A moving
    average of the weights (`use_ema`) is in place by then; list it behind `EarlyStopping(restore_best_weights=True)`.

    Args:
        x: array of samples, such as the training part.
        batch_size: int >= 1, samples that are normalised together: as in training.

    Raises:
        ValueError: `batch_size` is none, or there are fewer samples than that.

    Reference:
        Wu and Johnson, Rethinking "Batch" in BatchNorm, 2021, arXiv:2105.07576 (precise batch normalisation).

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import RecomputeStatistics
    >>> layers = [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> model.compile("sgd", "mse")
    >>> x = np.random.rand(128, 3)
    >>> history = model.fit(x, x.sum(axis=1), verbose=0, callbacks=[RecomputeStatistics(x, 32)])
    """

    def __init__(self, x, batch_size):
        super().__init__()
        self.x, self.batch_size = np.asarray(x), count("RecomputeStatistics", "batch_size", batch_size)
        if len(self.x) < self.batch_size:
            raise ValueError(f"RecomputeStatistics: batch_size={batch_size}, and there are {len(self.x)} samples")

    def on_train_end(self, logs=None):
        self.recompute(self.model)

    def recompute(self, model):
        """Do so now. Samples behind the last whole batch have no part in it."""
        layers = [layer for layer in model._flatten_layers() if _has_statistics(layer)]
        if not layers:
            return
        variables = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
        statistics = backend_module().compiled(_statistics_of(model, layers, variables))
        values = [ops.copy(v) for v in model.variables]
        batches = len(self.x) // self.batch_size
        sums = [np.zeros(tuple(v.shape)) for v in variables]
        for i in range(batches):
            x = ops.convert_to_tensor(self.x[i * self.batch_size : (i + 1) * self.batch_size])
            found = statistics(values, x)
            sums = [s + np.asarray(ops.convert_to_numpy(f), "float64") for s, f in zip(sums, found, strict=True)]
        for variable, total in zip(variables, sums, strict=True):
            variable.assign(total / batches)


def _has_statistics(layer):
    return hasattr(layer, "moving_mean") and hasattr(layer, "moving_variance") and hasattr(layer, "momentum")


def _statistics_of(model, layers, variables):
    """A function of the model's values and a batch: the statistics of the batch, and nothing of those before."""

    def statistics(values, x):
        known = list(zip(model.variables, values, strict=True))
        with _without_memory(layers), keras.StatelessScope(known) as scope:
            model(x, training=True)
        return [scope.get_current_value(v) for v in variables]

    return statistics


@contextlib.contextmanager
def _without_memory(layers):
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
