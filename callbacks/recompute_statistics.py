import contextlib
import itertools

import keras
import numpy as np
from keras import ops

from callbacks.object_only import object_only
from callbacks.sample_arrays import SampleArrays
from custom_optimizers.arguments import count
from custom_optimizers.backend import backend_module

STATISTICS = ("moving_mean", "moving_variance", "moving_stddev")  # only batch renormalisation has the last one


@object_only
class RecomputeStatistics(keras.callbacks.Callback):
    """Recomputes the statistics of batch normalisation, at the end of training, for the weights it has ended with.

    ```python
    moving_mean, moving_variance = means over the batches of x of what the layer computes in training
    ```

    The moving averages that a layer keeps are of the last few batches only, and of weights that have changed since;
    with full batches, where the weights change once in a pass, they are of few samples. Nothing but these statistics is
    changed. A layer that the model uses more than once gets the mean over its uses in a batch. Frozen layers keep
    theirs. If the optimizer has a moving average of the weights (`use_ema`), the model has it by then. List this
    callback after `EarlyStopping(restore_best_weights=True)`.

    Args:
        x: array of samples, such as the training part; with several inputs a list or dictionary of arrays.
        batch_size: int >= 1, samples that are normalised together: as in training.

    Raises:
        ValueError: `batch_size` is not an int >= 1, there are fewer samples than that, or the arrays have different
            numbers of samples.

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
        self._samples = SampleArrays("RecomputeStatistics", x)
        self.batch_size = count("RecomputeStatistics", "batch_size", batch_size)
        if len(self._samples) < self.batch_size:
            raise ValueError(
                f"RecomputeStatistics: batch_size={batch_size}, and there are {len(self._samples)} samples"
            )

    def on_train_end(self, logs=None):
        self.recompute(self.model)

    def recompute(self, model):
        """Recompute the statistics of a model now. Samples after the last whole batch are left out."""
        layers = [layer for layer in model._flatten_layers() if _has_statistics(layer)]
        if not layers:
            return
        variables = [getattr(layer, name) for layer in layers for name in STATISTICS if hasattr(layer, name)]
        backend = backend_module()
        statistics = backend.compiled(_statistics_of(model, layers, variables))
        with backend.random_numbers_of(backend.random_state()):  # so that those of training go on unchanged
            found = self._means(statistics, [ops.copy(v) for v in model.variables])
        for variable, mean in zip(variables, found, strict=True):
            variable.assign(mean)

    def _means(self, statistics, values):
        """The mean over the batches, float64, of what a function of the model's values and a batch returns."""
        sums, batches = itertools.repeat(0.0), len(self._samples) // self.batch_size
        for start in range(0, batches * self.batch_size, self.batch_size):
            (x,) = self._samples.part(start, start + self.batch_size)
            found = [np.asarray(ops.convert_to_numpy(f), "float64") for f in statistics(values, x)]
            sums = [s + f for s, f in zip(sums, found, strict=False)]  # there are no sums at first
        return [s / batches for s in sums]


def _has_statistics(layer):
    return hasattr(layer, "moving_mean") and hasattr(layer, "moving_variance") and hasattr(layer, "momentum")


def _statistics_of(model, layers, variables):
    """A function of the model's values and a batch that returns the statistics of that batch alone."""
    forward = model.call if keras.backend.backend() == "jax" else model  # as Keras's own step calls it on JAX
    options = {"training": True} if model._call_has_training_arg else {}

    def statistics(values, x):
        known = list(zip(model.variables, values, strict=True))
        with keras.StatelessScope(known) as scope, contextlib.ExitStack() as uses:
            for layer in layers:
                uses.enter_context(_mean_over_uses(layer, scope))
            forward(x, **options)
        return [scope.get_current_value(v) for v in variables]

    return statistics


@contextlib.contextmanager
def _mean_over_uses(layer, scope):
    """Context in which a layer keeps the mean over its uses, in place of a moving average, in a StatelessScope."""
    call, before, uses = layer.call, dict(vars(layer)), 0

    def counted(*args, **options):
        nonlocal uses
        mean = scope.get_current_value(layer.moving_mean)
        layer.momentum = 1 - 1 / (uses + 1)
        outputs = call(*args, **options)
        uses += scope.get_current_value(layer.moving_mean) is not mean  # a frozen layer keeps it
        return outputs

    vars(layer)["call"] = counted
    try:
        yield
    finally:
        del vars(layer)["call"]
        vars(layer).update({name: before[name] for name in ("call", "momentum") if name in before})
