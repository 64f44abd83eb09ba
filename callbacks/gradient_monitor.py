import keras

from callbacks.watched import descent_of, stop_if_diverged

LOOK_EVERY = 5  # batches: to look is to wait for the device


class GradientMonitor(keras.callbacks.Callback):
    """Writes what the optimizer knows of its gradients into the logs of each epoch.

    The logs, and so the history, CSV files and TensorBoard, get `gradient_norm` and `clipped_norm` (before and after
    clipping, of the last full batch), `clipped_share` (of all updates, 0 to 1), `updates` and `skipped_updates`. With
    `FullBatch`, list it behind that. Turns on the diagnostics of the optimizer, by which an update whose gradient is
    not finite is skipped; five in a row stop `fit`.

    Raises:
        TypeError: the model's optimizer is not one of `custom_optimizers`.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch, GradientMonitor
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
    >>> x = np.random.rand(100, 3)
    >>> watch = [FullBatch(), GradientMonitor()]
    >>> history = model.fit(x, x.sum(axis=1), epochs=3, callbacks=watch, verbose=0)
    >>> history.history["updates"]
    [1, 2, 3]
    """

    def set_model(self, model):
        super().set_model(model)
        self._optimizer = descent_of(model.optimizer, "GradientMonitor")
        self._optimizer.watch_gradients()
        self._watch(True)

    def on_train_begin(self, logs=None):
        self._optimizer.forget_skipped()

    def on_train_end(self, logs=None):
        self._watch(False)

    def _watch(self, watched):
        self._optimizer.is_watched = watched
        self.model.train_function = None  # what it does with gradients that are not finite depends on it

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % LOOK_EVERY == 0 and not self._optimizer.makes_passes:
            stop_if_diverged(self.model, self._optimizer)

    def on_epoch_end(self, epoch, logs=None):
        stop_if_diverged(self.model, self._optimizer)
        if logs is not None:
            seen = self._optimizer.read_diagnostics()
            logs.update({name: value for name, value in seen.items() if name != "skipped_in_a_row"})
