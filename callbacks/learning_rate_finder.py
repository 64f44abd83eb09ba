import math
import warnings

import keras
import numpy as np
from keras import ops

from callbacks.exact_resume import ExactResume
from callbacks.inside_keras import callbacks_of_fit
from callbacks.learning_rate_curve import before_a_rise, draw_curve, smoothed_loss, steepest_descent
from callbacks.model_state import ModelState
from callbacks.object_only import object_only
from custom_optimizers import Descent
from custom_optimizers.arguments import count
from custom_optimizers.diagnostics import number

FEWEST = 10  # updates; fewer give no usable slope
TRAINING = ("fit", "train_on_batch")  # methods before which an interrupted test is undone
REFUSED = {
    keras.callbacks.LearningRateScheduler: "changes the learning rate",
    keras.callbacks.ReduceLROnPlateau: "changes the learning rate",
    keras.callbacks.ModelCheckpoint: "would save the weights of the test",
    keras.callbacks.BackupAndRestore: "would save the weights of the test",
    keras.callbacks.SwapEMAWeights: "would bring back the weights of the test",
    ExactResume: "would save the weights of the test",
}


@object_only
class LearningRateFinder(keras.callbacks.Callback):
    """Finds a learning rate by trying all of them in one short `fit`, which leaves no trace.

    ```python
    rate[i] = lowest * (highest / lowest) ** (i / (updates - 1))         # of update i, from 0
    mean = smoothing * mean + (1 - smoothing) * loss[i]                  # of the data behind update i, before it
    smoothed[i] = mean / (1 - smoothing ** (i + 1))
    stop = i + 1 == updates or smoothed[i] > diverged * min(smoothed)    # or the loss is not finite
    suggestion = rate[argmin(d smoothed / d log(rate))]                  # left of the lowest point of `smoothed`
    ```

    What comes after a rise by a fifth of the whole fall, and by more than the losses scatter, is left out of the last
    line and of the lowest point: where a rate was too high, the loss may come down again, and fast.

    Give it to a `fit` of its own, with the data and the batch size of the training to come, and epochs enough for
    `updates` updates. At its end the weights, running statistics, random seeds, the optimizer with its iterations and
    its rate or schedule, and the metrics are what they were: the next `fit` gives the same bits as without the test.
    Only the random generators that shuffle data have gone on; seed them, or use `shuffle=False`, where that matters.

    Any Keras optimizer is supported, also inside of a `LossScaleOptimizer`. Each rate is used for one update. An update
    is a pass with `callbacks.FullBatch()`, before or after this in the list, and k batches with
    gradient_accumulation_steps=k; its loss is then the mean over all of their samples. Batches that loss scaling drops
    are not counted. The loss that is logged during the test is that of one batch.

    An exception or Ctrl-C ends `fit` without calling its callbacks. The next `fit` or `train_on_batch` of the model
    then begins with `restore()`; before anything else, such as `predict` or `save`, call `restore()` yourself.

    Args:
        lowest: float > 0, the first rate.
        highest: float > lowest, the last one.
        updates: int >= 10, how many rates there are.
        smoothing: float in [0, 1), the share of the past in the moving average of the losses. It shows the loss
            smoothing / (1 - smoothing) updates late, so full batches, which need none, are best served by 0.
        diverged: float > 1. The test ends when the smoothed loss is that many times its lowest value.

    Attributes:
        rates: list of floats, of the updates made.
        losses: list of floats, all finite, one for each rate.
        smoothed: list of floats, their moving average.
        suggestion: float, the rate at which the loss fell fastest; None where it did not clearly fall.
        lowest_loss_rate: float, the rate at the lowest point before the loss rises; None without updates.
        bounds: pair of floats to search between: a tenth of the suggestion, and lowest_loss_rate; None without a
            suggestion.

    Raises:
        ValueError: an argument is out of its range.
        ValueError: from `fit`: the model is not built, steps_per_execution is not 1, the optimizer is made of several,
            the model has no mean called "loss", or another callback changes the rate or would save or bring back the
            weights of the test (`LearningRateScheduler`, `ReduceLROnPlateau`, `ModelCheckpoint`, `BackupAndRestore`,
            `SwapEMAWeights`, `ExactResume`, `EarlyStopping(restore_best_weights=True)`).

    Reference:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017, arXiv:1506.01186 (the range test).

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import LearningRateFinder
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(64, 3))
    >>> finder = LearningRateFinder(lowest=1e-4, smoothing=0)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=64, epochs=100, callbacks=[finder], verbose=0)
    >>> 0.01 < finder.suggestion < finder.lowest_loss_rate < 10
    True
    >>> int(model.optimizer.iterations)  # as before
    0
    """

    needs_each_update = True  # which a `FullBatch` of many passes does not show

    def __init__(self, lowest=1e-6, highest=10.0, updates=100, *, smoothing=0.8, diverged=4.0):
        super().__init__()
        _check(0 < lowest < math.inf, "`lowest` must be a float > 0", lowest=lowest)
        _check(lowest < highest < math.inf, "`highest` must be a float > lowest", lowest=lowest, highest=highest)
        _check(0 <= smoothing < 1, "`smoothing` must lie in [0, 1)", smoothing=smoothing)
        _check(1 < diverged < math.inf, "`diverged` must be a float > 1", diverged=diverged)
        self.lowest, self.highest = lowest, highest
        self.updates = count("LearningRateFinder", "updates", updates, least=FEWEST)
        self.smoothing, self.diverged = smoothing, diverged
        self._before = None  # (state of the model, its optimizer, the optimizer's rate) to restore; None if restored
        self._begin()

    def _begin(self):
        self.rates, self.losses, self.smoothed = [], [], []
        self.suggestion = self.lowest_loss_rate = self.bounds = None
        self._pending = []  # (sum of the losses, number of samples) of the batches that wait for an update
        self._done = False

    def set_model(self, model):
        super().set_model(model)
        for callback in callbacks_of_fit():
            _refuse(callback)
        model.train_function = None  # made before the rate was replaced

    def on_train_begin(self, logs=None):
        model = self.model
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        _check_can_be_tested(model, optimizer)
        self._begin()
        self._optimizer, self._loss = optimizer, _mean_loss(model)
        self._before = ModelState(model), optimizer, optimizer._learning_rate
        self._restore_before_training(model)
        self._last_position = self._start = _position(optimizer)
        self._sweep = Sweep(optimizer, self._start[0], np.geomspace(self.lowest, self.highest, self.updates))
        optimizer._learning_rate = self._sweep  # `learning_rate` would drop the variable from those of the optimizer

    def on_epoch_begin(self, epoch, logs=None):
        self._record_progress()

    def on_train_batch_begin(self, batch, logs=None):
        self._loss.reset_state()  # its mean is then that of the batch alone

    def on_train_batch_end(self, batch, logs=None):
        model = self.model  # on JAX, to ask for it brings the variables up to date
        total, samples = number(self._loss.total), number(self._loss.count)
        if samples == 0:
            raise ValueError(
                f"LearningRateFinder: the train_step of {type(model).__name__} does not keep the model's mean 'loss'."
            )
        if math.isfinite(total):
            self._record_progress((total, samples))
        else:
            self._stop()

    def on_epoch_end(self, epoch, logs=None):
        self._record_progress()

    def on_train_end(self, logs=None):
        self._record_progress()
        complete = self._done
        self.restore()
        if complete:
            self.model.stop_training = False
        self._conclude(complete)

    def restore(self):
        """Give the model the state that it had before the test, if it does not have it yet."""
        if self._before is None:
            return
        model = self.model
        state, optimizer, learning_rate = self._before
        self._before = None
        vars(model).pop("_assert_compile_called", None)
        optimizer._learning_rate = learning_rate
        state.restore()
        model.train_function = None  # made of the rates of the test

    def draw(self, path):
        """Draw the losses over the rates, with the suggestion and the lowest point, into a file.

        Args:
            path: str or path; the ending says which format: .png, .pdf, .svg.

        Raises:
            ValueError: there are no losses to draw.
            OSError: the file cannot be written. What was there before is still there.
        """
        if not self.losses:
            raise ValueError("LearningRateFinder: there are no losses to draw; give the finder to a `fit` first.")
        draw_curve(path, self)

    def _record_progress(self, batch=None):
        """Record the update that the optimizer has made since the last call, if it has made one.

        `FullBatch` may make an update after the last batch, when it is called at the end of the pass. On TensorFlow a
        step that finds no more data may count as an update too (Keras 3.15, without XLA): its rate has no loss.

        Args:
            batch: `(sum of the losses, number of samples)` of a batch that has just been trained on; None for none.
        """
        if self._done:
            return
        (made, waited), now = self._last_position, _position(self._optimizer)
        if batch is None and now[0] == made and now[1] >= waited:
            return
        self._last_position = now
        if batch is not None and now != (made, waited):  # else loss scaling has dropped the batch
            self._pending.append(batch)
        if now[0] > made:
            self._check_made_one(now[0] - made)
            if 0 < len(self._pending) == waited + (batch is not None):  # else the losses of some batches are unknown
                self._record(made - self._start[0])
        if now[1] == 0:
            self._pending = []
        if now[0] - self._start[0] >= self.updates:
            self._stop()

    def _record(self, update):
        totals, samples = zip(*self._pending, strict=True)
        loss = sum(totals) / sum(samples)
        self.rates.append(float(self._sweep.rates[update]))
        self.losses.append(loss)
        self.smoothed.append(smoothed_loss(self.smoothed, loss, self.smoothing))
        lowest = min(self.smoothed)
        limit = lowest + (self.diverged - 1) * abs(lowest)  # `diverged` times the lowest, for losses below 0 too
        if self.smoothed[-1] > limit:
            self._stop()

    def _stop(self):
        self._done = True
        self.model.stop_training = True

    def _check_made_one(self, made):
        if made > 1:
            raise ValueError(
                f"LearningRateFinder: a batch made {made} updates, and only one can have a rate and a loss of its own."
            )

    def _conclude(self, complete):
        if not complete:
            warnings.warn(
                f"LearningRateFinder: `fit` ended after {len(self.rates)} of {self.updates} updates, below the highest "
                f"rate: give it more epochs, or make fewer updates with updates={max(len(self.rates), FEWEST)}.",
                stacklevel=2,
            )
        end = before_a_rise(self.losses, self.smoothed)
        rates, losses, smoothed = self.rates[:end], self.losses[:end], self.smoothed[:end]
        if losses:
            self.lowest_loss_rate = rates[int(np.argmin(smoothed))]
        index, why = steepest_descent(rates, losses, smoothed)
        if index is not None:
            self.suggestion = self.rates[index]
            self.bounds = self.suggestion / 10, self.lowest_loss_rate
        else:
            warnings.warn(
                f"LearningRateFinder: no suggestion, since {why}: try other rates than {self.lowest:g} to "
                f"{self.highest:g}, more updates, or larger batches.",
                stacklevel=2,
            )

    def _restore_before_training(self, model):
        """Make a later `fit` or `train_on_batch`, which may not call this callback, begin with `restore`."""
        check = model._assert_compile_called

        def restore_first(method_name=None):
            if method_name in TRAINING:
                self.restore()
            check(method_name)

        vars(model)["_assert_compile_called"] = restore_first


class Sweep:
    """A learning rate with another value in each update: a callable without arguments, as optimizers take it.

    Args:
        optimizer: Keras optimizer, whose `iterations` count updates.
        start: int, its `iterations` at the first rate.
        rates: array, a rate for each update.
    """

    def __init__(self, optimizer, start, rates):
        self.rates = rates.astype("float32")
        self._optimizer, self._start = optimizer, start

    def __call__(self):
        update = ops.minimum(self._optimizer.iterations - self._start, len(self.rates) - 1)
        return ops.take(ops.convert_to_tensor(self.rates), update)

    def assign(self, rate):
        """Refuse a rate: Keras calls this if something sets `optimizer.learning_rate`."""
        raise ValueError(
            f"LearningRateFinder: the learning rate was set to {float(rate):g} during the test; take out the callback "
            "that changes it."
        )


def _position(optimizer):
    """`(updates made, micro-batches that wait for the next one)`."""
    steps = optimizer.gradient_accumulation_steps
    if not steps:
        return number(optimizer.iterations), 0
    if isinstance(optimizer, Descent):
        return number(optimizer.iterations), number(optimizer.micro_batches_summed)
    return divmod(number(optimizer._iterations), steps)  # Keras counts micro-batches there


def _mean_loss(model):
    """The metric that keeps the mean of the model's losses."""
    metrics = (m for m in model.metrics if m.name == "loss" and isinstance(m, keras.metrics.Mean))
    found = next(metrics, None)
    if found is None:
        raise ValueError(f"LearningRateFinder: {type(model).__name__} has no keras.metrics.Mean called 'loss'.")
    return found


def _check_can_be_tested(model, optimizer):
    if not model.built:
        raise ValueError(
            "LearningRateFinder: the model has no weights yet that it could go back to: begin it with keras.Input, or "
            "call model.build(input_shape)."
        )
    if model.steps_per_execution != 1:
        raise ValueError(
            "LearningRateFinder: compile the model with steps_per_execution=1; only then is each update's loss known. "
            f"Received: steps_per_execution={model.steps_per_execution}"
        )
    if hasattr(optimizer, "optimizers"):
        raise ValueError(
            f"LearningRateFinder: {type(optimizer).__name__} has several learning rates; test a model with one."
        )


def _refuse(callback):
    why = next((why for kind, why in REFUSED.items() if isinstance(callback, kind)), None)
    if isinstance(callback, keras.callbacks.EarlyStopping) and callback.restore_best_weights:
        why = "would bring back weights of the test with restore_best_weights=True"
    if why is not None:
        raise ValueError(
            f"LearningRateFinder: {type(callback).__name__} {why}; give the finder to a `fit` of its own, without it."
        )


def _check(condition, rule, **received):
    if not condition:
        values = ", ".join(f"{name}={value!r}" for name, value in received.items())
        raise ValueError(f"LearningRateFinder: {rule}. Received: {values}")
