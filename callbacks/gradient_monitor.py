import math

import keras
from keras import ops

from callbacks.object_only import object_only
from callbacks.watched import descent_of, stop_if_diverged
from custom_optimizers.clipping.norms import norms

CHECK_EVERY = 5  # batches; not every one, since reading the record waits for the device


@object_only
class GradientMonitor(keras.callbacks.Callback):
    """Writes norms of gradients into the logs of each epoch, and warns of layers whose gradients vanish or explode.

    ```python
    norm(layer) = sqrt(sum(sum(g ** 2) for each variable of the layer))      # of the last full batch, before clipping
    vanishing:  norm(layer) < vanishing * max(norm(each) for each layer)
    exploding:  norm(layer) > exploding * max(norm(weights of the layer), 1), or not finite
    ```

    The logs, and so the history, CSV files and TensorBoard, get `gradient_norm` and `clipped_norm` (before and after
    clipping, of the last full batch), `clipped_share` (of all updates, 0 to 1), `updates`, `skipped_updates`,
    `vanishing_layers` and `exploding_layers` (how many there are). A layer that begins to vanish or to explode is named
    in one line, with the figures.

    List it after `FullBatch`, and list callbacks that read logs, such as `CSVLogger`, after it. It turns on the
    diagnostics of the optimizer, by which an update whose gradient is not finite is skipped. Five skipped updates in a
    row stop `fit`; that is checked every five batches and at the end of an epoch.

    Args:
        layers: bool. Log the norm of each layer's gradient too, as `gradient_norm/LAYER`.
        vanishing: float in [0, 1), the share of the largest layer's norm below which a layer hardly learns. Stacks of
            ten sigmoid layers come to 1e-6.
        exploding: float > 0, in units of the norm of the layer's weights. Above 1000, a learning rate of 0.001 moves
            the weights by more than their norm.

    Raises:
        TypeError: the model's optimizer is not one of `custom_optimizers`.
        ValueError: an argument is out of its range.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch, GradientMonitor
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
    >>> x = np.random.rand(100, 3)
    >>> watch = [FullBatch(), GradientMonitor()]
    >>> history = model.fit(x, x.sum(axis=1), epochs=3, callbacks=watch, verbose=0)
    >>> history.history["updates"], history.history["exploding_layers"]
    ([1, 2, 3], [0, 0, 0])
    """

    def __init__(self, layers=False, vanishing=1e-4, exploding=1e3):
        super().__init__()
        if not 0 <= vanishing < 1:
            raise ValueError(f"GradientMonitor: `vanishing` must lie in [0, 1). Received: vanishing={vanishing!r}")
        if not exploding > 0:
            raise ValueError(f"GradientMonitor: `exploding` must be > 0. Received: exploding={exploding!r}")
        self.layers, self.vanishing, self.exploding = layers, vanishing, exploding
        self._warned_of, self._batches = set(), 0

    def set_model(self, model):
        super().set_model(model)
        self._optimizer = descent_of(model.optimizer, "GradientMonitor")
        self._optimizer.watch_gradients()
        self._watch(True)

    def on_train_begin(self, logs=None):
        self._warned_of, self._batches = set(), 0
        self._optimizer.forget_skipped()

    def on_train_end(self, logs=None):
        self._watch(False)

    def _watch(self, watched):
        self._optimizer.is_watched = watched
        self.model.train_function = None  # it was compiled for the other value

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        if self._batches % CHECK_EVERY == 0 and not self._optimizer.makes_passes:
            stop_if_diverged(self.model, self._optimizer)

    def on_epoch_end(self, epoch, logs=None):
        stop_if_diverged(self.model, self._optimizer)
        if logs is None:
            return
        seen = self._optimizer.read_diagnostics()
        logs.update({name: value for name, value in seen.items() if name != "skipped_in_a_row"})
        trained = _norms_of(self.model.trainable_variables)
        norms_of = self._optimizer.read_variable_norms()
        of_layers = _by_layer({path: norm for path, norm in norms_of.items() if path in trained})
        weights = _by_layer(trained)
        if not of_layers:  # a train_step of one's own that has applied nothing yet
            return
        logs["vanishing_layers"] = self._warn(
            "vanishes", self._vanishing_layers(of_layers), of_layers, max(of_layers.values())
        )
        logs["exploding_layers"] = self._warn(
            "explodes", self._exploding_layers(of_layers, weights), of_layers, weights
        )
        if self.layers:
            logs.update({f"gradient_norm/{name}": norm for name, norm in of_layers.items()})

    def _vanishing_layers(self, norms):
        largest = max(norms.values())
        return [name for name, norm in norms.items() if norm < self.vanishing * largest]

    def _exploding_layers(self, norms, weights):
        return [
            name
            for name, norm in norms.items()
            if not norm <= self.exploding * max(weights.get(name, 1.0), 1.0)  # NaN explodes
        ]

    def _warn(self, what, names, norms, beside):
        """Print a line for each layer of which none was printed yet; return the number of layers."""
        for name in names:
            if (what, name) not in self._warned_of:
                other = (
                    f"that of its weights is {beside.get(name, math.nan):.2g}"
                    if isinstance(beside, dict)
                    else f"the largest of a layer is {beside:.2g}"
                )
                print(f"\nGradientMonitor: the gradient of {name} {what}: its norm is {norms[name]:.2g}, {other}.")
        self._warned_of |= {(what, name) for name in names}
        return len(names)


def _norms_of(variables):
    values = ops.convert_to_numpy(ops.stack(norms(variables))).tolist()
    return {variable.path: value for variable, value in zip(variables, values, strict=True)}


def _by_layer(of_variables):
    """The norms of layers, from those of their variables by path."""
    squares = {}
    for path, norm in of_variables.items():
        layer = path.rpartition("/")[0] or path
        squares[layer] = squares.get(layer, 0.0) + norm**2
    return {layer: math.sqrt(value) for layer, value in squares.items()}
