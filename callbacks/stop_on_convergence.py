import math

import keras

from callbacks.object_only import object_only
from callbacks.watched import descent_of


@object_only
class StopOnConvergence(keras.callbacks.Callback):
    """Stops `fit` when the loss, the gradient, or both are small enough: the stopping rules of textbooks.

    ```python
    stop = logs[monitor] <= loss                                   # loss alone
    stop = norm(g) <= gradient_norm                                # gradient_norm alone; g of the last full batch
    stop = logs[monitor] <= loss and norm(g) <= gradient_norm      # both, with require="both"; "or" with "either"
    ```

    The rule is checked after each epoch. A gradient that vanishes means that descent has arrived at a stationary point
    of the training loss. Only the gradient of the full batch can tell that: with mini-batches the norm is that of the
    last mini-batch. List it after `FullBatch`.

    Args:
        loss: float or None, in units of the loss.
        gradient_norm: float >= 0 or None, in units of the gradient, before clipping. Turns on the diagnostics of the
            optimizer, which has to be one of `custom_optimizers`.
        require: "both" or "either", where both bounds are given.
        monitor: str, the log that is compared with `loss`: "loss", "val_loss".

    An optimizer that looks for its steps, such as `LBFGS`, ends `fit` by itself where no step is found, with a reason.

    Attributes:
        stopped_epoch: int, the epoch after which it stopped `fit`; None if it did not.
        reason: str, why `fit` ended: a bound that was reached, or what ended the search of the optimizer; else None.

    Raises:
        ValueError: no bound is given, or an argument is out of its range.
        TypeError: `gradient_norm` is given, and the optimizer is not one of `custom_optimizers`.

    References:
        Nocedal and Wright, Numerical Optimization, 2006, section 3.2 (the norm of the gradient as a measure).

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch, StopOnConvergence
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.5), loss="mse")
    >>> x = np.array([[-1.0], [1.0]])
    >>> stop = StopOnConvergence(gradient_norm=1e-3)
    >>> history = model.fit(x, 2 * x, epochs=100, callbacks=[FullBatch(), stop], verbose=0)
    <BLANKLINE>
    Converged after epoch 2: the gradient's norm is 0.
    """

    def __init__(self, loss=None, gradient_norm=None, require="both", monitor="loss"):
        super().__init__()
        if loss is None and gradient_norm is None:
            raise ValueError("StopOnConvergence: give `loss`, `gradient_norm`, or both.")
        for name, bound in (("loss", loss), ("gradient_norm", gradient_norm)):
            if bound is not None and not math.isfinite(bound):
                raise ValueError(f"StopOnConvergence: `{name}` must be finite. Received: {name}={bound!r}")
        if gradient_norm is not None and gradient_norm < 0:
            raise ValueError(f"StopOnConvergence: `gradient_norm` must be >= 0. Received: {gradient_norm!r}")
        if require not in ("both", "either"):
            raise ValueError(f"StopOnConvergence: `require` must be 'both' or 'either'. Received: {require!r}")
        self.loss, self.gradient_norm, self.require, self.monitor = loss, gradient_norm, require, monitor
        self.stopped_epoch = self.reason = None

    def set_model(self, model):
        super().set_model(model)
        self._optimizer = None
        if self.gradient_norm is not None:
            self._optimizer = descent_of(model.optimizer, "StopOnConvergence with a bound of the gradient")
            self._optimizer.watch_gradients()
            model.train_function = None  # made before the gradient was watched

    def on_train_begin(self, logs=None):
        self.stopped_epoch = self.reason = None

    def on_epoch_end(self, epoch, logs=None):
        reached = {}
        if self.loss is not None:
            reached[self.monitor] = self._logged(logs or {}), self.loss
        if self.gradient_norm is not None:
            reached["the gradient's norm"] = self._norm(), self.gradient_norm
        small = [value <= bound for value, bound in reached.values()]
        if all(small) if self.require == "both" else any(small):
            self.stopped_epoch = epoch
            self.model.stop_training = True
            words = " and ".join(f"{name} is {value:.3g}" for name, (value, _) in reached.items())
            print(f"\nConverged after epoch {epoch + 1}: {words}.")
            small = ((name, *each) for name, each in reached.items() if each[0] <= each[1])
            self.reason = " and ".join(f"{name} is {value:.3g}, within {bound:g}" for name, value, bound in small)

    def on_train_end(self, logs=None):
        search = getattr(getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer), "search", None)
        if search is not None and self.reason is None:
            self.reason = search.read().get("reason")

    def _logged(self, logs):
        if self.monitor not in logs:
            raise ValueError(
                f"StopOnConvergence: there is no '{self.monitor}' in the logs, which have {', '.join(logs)}."
            )
        return float(logs[self.monitor])

    def _norm(self):
        seen = self._optimizer.read_diagnostics()
        return seen["gradient_norm"] if seen.get("updates") else math.inf
