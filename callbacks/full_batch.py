import functools
import warnings

import keras
import numpy as np
from keras import ops

from callbacks import passes
from callbacks.batch_size import number_of_samples
from callbacks.inside_keras import (
    DataOfFit,
    callbacks_of_fit,
    hide_lent_window,
    tell_progress_bars,
    unhide_lent_window,
)
from callbacks.loss_reduction import LossReduction, repeated_regularization
from callbacks.loss_step import make_step, whole_gradient
from callbacks.object_only import object_only
from callbacks.same_loss import check_callbacks, check_loss_is_a_function
from callbacks.step_of_fit import StepOfFit, callbacks_of_step
from callbacks.watched import descent_of, stop_if_diverged
from custom_optimizers.arguments import is_whole
from custom_optimizers.dtypes import wide_floatx

LEAST_WEIGHT = 1e-20  # in place of 0, of a micro-batch: nothing beside other weights, and its products do not underflow
WARNINGS = {
    "too short": "FullBatch: the data ended before the {} batches of the pass did, so no update was made.",
    "too long": "FullBatch: `fit` trained on more than the {} batches of the pass, since `steps_per_execution` does "
    "not divide them. The update is of the first ones; those after them are in the logs only.",
}


@object_only
class FullBatch(StepOfFit):
    """Makes `fit` use the exact gradient of the whole training set, computed in micro-batches.

    ```python
    weights = n_b                                   # loss averaged over the batch: number of samples
    weights = sum(sample_weight)                    # reduction="mean_with_sample_weight"
    g = sum(weights * gradient) / sum(weights)      # over all micro-batches of the pass
    g = sum(gradient)                               # reduction="sum"; regularisers count once
    ```

    An optimizer of `custom_optimizers` with `gradient_accumulation_steps=None` makes one update for each pass over the
    data, for the length of this `fit`. After it each batch is the full batch again, and momentum goes on. An optimizer
    with an int k still makes an update for every k micro-batches, which are then weighted by their numbers of samples
    too. The result is that of one batch with all samples, for any number of samples and any `batch_size`, up to
    rounding. Losses that are a mean over the batch, a weighted mean or a sum are exact, as are sample weights, class
    weights and the regularisers of weights. With `steps_per_epoch`, a pass is that many batches. The logged loss is
    that of Keras: the mean of the micro-batches' losses, weighted by the length of the first axis of the first input.

    Samples are counted by the targets; an input may have another first axis. Where samples are sequences and each batch
    has one length, the loss of the full batch is the mean over sequences of their means over steps. For the mean over
    all steps give the loss reduction="mean_with_sample_weight", and `fit` a weight of one for each step.

    What cannot be exact is refused where it can be seen: masks and `ignore_class` under a mean (each micro-batch
    divides by a count of its own), activity regularisers and `add_loss` (nothing says whether they are a mean or a sum
    over the batch), losses that reduce over the batch by themselves or compare its samples, losses of different
    reductions, and a `compute_loss` of your own. Where you know that the loss of your model is a mean or a sum over the
    batch, say so by `reduction`, and nothing is refused; with "sum", the losses of regularisers have to be in the loss,
    as Keras adds them.

    What cannot be seen is not refused, and acts on each micro-batch by itself: layers that compute with the other
    samples of a micro-batch or change with each one (batch normalisation, spectral normalisation, dropout's masks),
    loss functions that compare samples in some cases only, and a `train_step` that changes the loss or the gradients.

    Its place in `callbacks` does not matter. If the number of batches is unknown (generators), the update is made when
    validation begins, or else when this callback is called at the end of the epoch. A pass that `model.stop_training`
    or a lack of data ends early makes no update. A `keras.utils.PyDataset` may change its length in its `on_epoch_end`,
    and may have several workers (without this callback Keras mixes up their batches). With mixed_float16, a micro-batch
    that loss scaling drops voids the pass: it makes no update, and is counted in `skipped_updates`. Five skipped
    updates in a row stop `fit`.

    With `passes_per_epoch` an epoch of `fit` is that many passes, each with its update, in one call of compiled code
    (on torch, of recorded operations): a small network on a few thousand samples trains several times faster. The
    batches of an epoch are read once and stay on the device meanwhile; arrays stay for the whole `fit`, in the order of
    the first epoch, and so do other data with `cache=True`. Other callbacks, validation and logs come after the last
    pass of an epoch, and logs are of that pass: its loss is that before its update, as always. Passes end early once
    five updates in a row were skipped.

    Args:
        reduction: None (read it from the compiled loss), or what the total loss is over the batch, which is then not
            checked: "mean", "mean_with_sample_weight", or "sum".
        passes_per_epoch: int >= 1, passes over the data in each epoch of `fit`.
        cache: bool, whether the batches of the first epoch, in its order, stay on the device for the whole `fit`, so
            that a data set of any kind is read once; without `steps_per_epoch`. By default arrays of up to 256 MiB
            stay where their order does (`shuffle=False`, or one batch) and one device trains, and arrays of any size
            with `passes_per_epoch` above 1. What is changed in place in the data meanwhile is not seen.

    Attributes:
        trace: dict, with `passes_per_epoch` above 1: an array with the `loss` of each pass of this `fit`, and one with
            its `gradient_norm` where the optimizer records it (`diagnostics`, `clipping`, `GradientMonitor`).

    Raises:
        TypeError: the model's optimizer is not one of `custom_optimizers`.
        ValueError: the full batch could not be exact. The message says why and what to do.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=3, callbacks=[FullBatch()], verbose=0)
    >>> int(model.optimizer.iterations)
    3
    """

    def __init__(self, reduction=None, passes_per_epoch=1, cache=None):
        super().__init__()
        if not is_whole(passes_per_epoch) or passes_per_epoch < 1:
            raise ValueError(
                f"FullBatch: `passes_per_epoch` must be an int >= 1. Received: passes_per_epoch={passes_per_epoch!r}"
            )
        if not any(cache is each for each in (None, True, False)):
            raise ValueError(f"FullBatch: `cache` must be None, True or False. Received: cache={cache!r}")
        self.passes_per_epoch, self.cache = passes_per_epoch, cache
        self.trace = {}
        self._passes = None  # the train function of many passes
        self.reduction = reduction
        self.loss_reduction = LossReduction("FullBatch", reduction)
        self._optimizer = None  # `Descent`
        self._outer = None  # the model's optimizer: the same one, or a LossScaleOptimizer around it
        self._data = None  # `DataOfFit` of this `fit`
        self._steps = None  # number of micro-batches in the pass; None if it is unknown
        self._has_told = False  # of batch normalisation
        self._voided = False  # whether loss scaling voided the last pass

    def prepare(self, model):
        self._optimizer = descent_of(model.optimizer, "FullBatch")
        self.loss_reduction.read(model)
        if self._optimizer.gradient_accumulation_steps is None:
            self._optimizer.accumulate_over_epoch()
        if self._optimizer.needs_loss:
            check_loss_is_a_function(type(self._optimizer).__name__, model)
        if self.passes_per_epoch > 1 and not self._one_update_a_pass:
            raise ValueError(
                "FullBatch: `passes_per_epoch` is for one update a pass, and the optimizer makes one for "
                f"{self._optimizer.gradient_accumulation_steps} micro-batches: leave out one of the two."
            )
        if self._optimizer is not model.optimizer:  # loss scaling may drop micro-batches
            self._optimizer.watch_gradients()
        self._optimizer.is_watched = True
        self._outer = model.optimizer
        hide_lent_window(self._outer, self._optimizer)
        self._build_optimizer(model)

    def _build_optimizer(self, model):
        """Build the optimizer, if the model is, before the first step.

        There an error in the middle of tracing would leave some variables without a value, and a loop over passes needs
        those of the window.
        """
        if model.built and model.trainable_variables and not model.optimizer.built:
            with self._optimizer.scope():
                model.optimizer.build(model.trainable_variables)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._build_optimizer(self._model)  # Keras has built the model meanwhile
        self._optimizer.forget_skipped()
        self.trace = {}
        self._data = DataOfFit(self._model)
        if self._optimizer.search is not None:
            self._begin_search()
        self._tell_of_batch_normalisation()
        if self._data.is_spent_after_one_epoch() and not self.cache and (self.params or {}).get("epochs", 1) > 1:
            raise ValueError(
                "FullBatch: a generator is spent after one epoch, and there are more epochs: give `fit` a generator "
                "that never ends and `steps_per_epoch`, or a keras.utils.PyDataset."
            )
        self._data.forget_prepared()
        self._data.check_cache(self.cache)
        if self.passes_per_epoch == 1:
            self._data.keep_batches(self.cache)
            return
        for callback in callbacks_of_fit():
            if getattr(callback, "needs_each_update", False):
                raise ValueError(
                    f"{type(callback).__name__} looks at each update, and FullBatch(passes_per_epoch="
                    f"{self.passes_per_epoch}) makes many without a look: leave out one of the two."
                )
        self._data.in_one_step(self.cache)
        self.params["steps"] = 1
        tell_progress_bars(callbacks_of_fit(), 1)

    def _tell_of_batch_normalisation(self):
        """Say, once for a callback, what batch normalisation makes of a pass of several micro-batches."""
        steps = (self.params or {}).get("steps")
        if self._has_told or steps == 1 or any(hasattr(each, "block_size") for each in callbacks_of_step(self._model)):
            return
        kind = keras.layers.BatchNormalization
        layers = (layer for layer in self._model._flatten_layers() if isinstance(layer, kind) and layer.trainable)
        name = next((layer.name for layer in layers), None)
        if name is not None:
            self._has_told = True
            warnings.warn(
                f"FullBatch: the layer '{name}' normalises each micro-batch by its own mean and variance, so the "
                "gradient is the mean of theirs, and not that of all samples at once: micro-batches of another size "
                "give another one. BlockGradient keeps the size, and group normalisation has none.",
                stacklevel=2,
            )

    def _begin_search(self):
        """Check what surrounds a search, let it begin or go on, and let other callbacks see what it has accepted."""
        owner, model, others = type(self._optimizer).__name__, self._model, callbacks_of_fit()
        is_in_parts = self.passes_per_epoch == 1 and (self.params or {}).get("steps") != 1
        check_callbacks(owner, others, is_in_parts, has_rate=hasattr(self._optimizer, "inner"))
        self._data.check_whole(owner)
        self._before, self._metrics = {}, {}  # what the search said after the last epoch; metrics where it accepted
        self._optimizer.search.begin(model._compile_loss, self._data.checksum())
        if self in others:
            others.remove(self)
            others.insert(0, self)  # so that it is called first at the end of an epoch

    def on_epoch_begin(self, epoch, logs=None):
        if self.passes_per_epoch > 1:  # each of which is begun where it is made
            self._optimizer.begin_pass(1)
            return
        self._steps = self._data.length((self.params or {}).get("steps"))
        if self._one_update_a_pass and self._take_whole(self._steps if self._model.steps_per_execution == 1 else None):
            self._model.make_train_function(force=True)  # the step is compiled for one or the other
        if self._one_update_a_pass:
            self._optimizer.begin_pass(self._steps)

    def _take_whole(self, micro_batches):
        """Let the one batch of a pass be the full batch, unless devices share it, or loss scaling may drop it.

        Returns:
            bool, whether that is another way than before.
        """
        optimizer = self._optimizer
        before, may = optimizer.has_passes_of_one, optimizer is self._outer and optimizer.replicas_in_sync() == 1
        optimizer.has_passes_of_one = may and micro_batches == 1
        return optimizer.has_passes_of_one != before

    def on_test_begin(self, logs=None):
        if not self._is_nested:
            self._end_pass()

    def on_epoch_end(self, epoch, logs=None):
        self._end_pass()
        if self._passes is not None:
            self._add_to_trace()
        stop_if_diverged(self.model, self._optimizer, voided=self._voided)
        self._tell_of_search(logs)

    def _tell_of_search(self, logs):
        """Log where an optimizer with a search is, and stop `fit`, with one line, where it cannot go on."""
        if self._optimizer.search is None:
            return
        found = self._optimizer.search.read()
        reason = found.pop("reason", None)
        if logs is not None:
            if self.passes_per_epoch == 1:
                self._put_metrics_of_accepted(logs, found)
            logs.update(found)
        if reason is not None and not self.model.stop_training:
            self.model.stop_training = True
            print(f"\n{type(self._optimizer).__name__}: {reason}.")

    def _put_metrics_of_accepted(self, logs, found):
        """Where the point of a pass was rejected, put the metrics of the last one that was accepted into its logs.

        Args:
            logs: dict, of an epoch of one pass, with those of the point where it was.
            found: dict, what `Search.read` says after it.
        """
        before, self._before = self._before, found
        is_first = "loss" not in before or "loss" not in found  # of a search; or one has not begun
        if is_first or found["accepted"] != before["accepted"] or not self._metrics:
            self._metrics = {name: value for name, value in logs.items() if not name.startswith("val_")}
        else:
            logs.update(self._metrics)

    def _add_to_trace(self):
        for name, values in self._passes.trace.items():
            before = [self.trace[name]] if name in self.trace else []
            self.trace[name] = np.concatenate([*before, values])

    def step_restored(self):
        super().step_restored()
        self._data = None
        unhide_lent_window(self._outer)
        if self._passes is not None:
            self._passes.release()
        self._optimizer.is_watched = False
        self._optimizer.has_passes_of_one = False
        self._optimizer.accumulate_as_given()

    @property
    def _one_update_a_pass(self):
        return self._optimizer.gradient_accumulation_steps == "epoch"

    def _end_pass(self):
        if not (self._in_fit and self._one_update_a_pass):
            return
        outcome = self._optimizer.end_pass(complete=not self.model.stop_training)
        if outcome in WARNINGS:
            warnings.warn(WARNINGS[outcome].format(self._steps), stacklevel=2)
        if self._optimizer.search is not None and outcome not in ("nothing", "updated"):
            self._optimizer.search.put_back()
        if outcome != "nothing":
            self._voided = outcome == "voided"

    def around_function(self, model, function):
        if self.passes_per_epoch == 1:
            return function
        counts = self._counts_for if self._is_plain(model) else None
        self._passes = passes.make(model, self._optimizer, self.passes_per_epoch, self._take_whole, counts, function)
        return self._passes

    def _is_plain(self, model):
        """Whether nothing but this callback changes the step, and the loss is that of the model."""
        repeats = self.loss_reduction.kind == "sum" and any(v.regularizer for v in model.trainable_variables)
        return not repeats and len(callbacks_of_step(model)) == 1

    def around_loss(self, model, compute_loss):
        takes_training = model._compute_loss_has_training_arg

        def watched_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
            options = {"training": training} if takes_training else {}
            compute = functools.partial(compute_loss, **options)
            if not self._optimizer.micro_batches.has_weight:  # this is validation, or a step outside of this `fit`
                return compute(x, y, y_pred, sample_weight)
            total = self.loss_reduction.checked(model, compute, x, y, y_pred, sample_weight)
            if self.loss_reduction.kind == "sum":  # regularisers count once an update
                total = total - repeated_regularization(model, self._optimizer.is_first_micro_batch(), total.dtype)
            return total

        return watched_loss

    def around_step(self, model, step, *arguments):
        # Not `self.model`: on JAX, asking for it writes the variables, which would end the step under way.
        if not self._in_fit:
            raise ValueError(
                "FullBatch was given to something else and not to this `fit`: give it `callbacks.FullBatch()` too."
            )
        counts = functools.partial(self._counts_for, arguments[-1])
        weighing, arguments = self._optimizer.micro_batch_in(model.optimizer, arguments, counts)
        if self._optimizer.needs_loss and not any(each.makes_step for each in callbacks_of_step(model)):
            step = functools.partial(make_step, model, functools.partial(whole_gradient, "FullBatch"))
        with weighing:
            logs = step(*arguments)
        self.loss_reduction.check_was_computed(model)
        return logs

    def _counts_for(self, data, is_first):
        """`(weight, divisor)` of a micro-batch, as `Windowed.micro_batch` takes them."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        weights = [] if sample_weight is None else keras.tree.flatten(sample_weight)
        self.loss_reduction.check_weights(weights)
        if self.loss_reduction.kind == "sum":
            return 1.0, ops.cast(is_first, wide_floatx())
        if self.loss_reduction.kind == "mean_with_sample_weight" and weights:
            weight = ops.sum(ops.cast(weights[0], wide_floatx()))
            weight = ops.where(ops.equal(weight, 0), LEAST_WEIGHT, weight)  # regularisers count without samples too
        else:
            weight = number_of_samples("FullBatch", x, y)
            weight = float(weight) if isinstance(weight, int) else ops.cast(weight, wide_floatx())
        return weight, weight
