import contextlib
from numbers import Integral

import keras
from keras import ops

from custom_optimizers.backend import backend_module
from custom_optimizers.micro_batch import MicroBatches
from custom_optimizers.window import Window

EPOCH = "epoch"  # each pass over the data makes one update


class Windowed(keras.optimizers.Optimizer):
    """Base class of `Descent`: an optimizer that sums the gradients of several micro-batches for an update.

    ```python
    total += weight * gradient                    # for each micro-batch; weight and divisor are 1 if none are given
    divisors += divisor
    g = total / divisors                          # when an update is due
    ```

    The sums are in a `Window`. `callbacks.FullBatch` lends an optimizer a window for the length of a `fit`: the
    optimizer uses it until then, and a model that is saved meanwhile does not have it.

    Args:
        gradient_accumulation_steps: None, an int k >= 2, or "epoch", as in `Descent`.
        kwargs: of `keras.optimizers.Optimizer`.
    """

    def __init__(self, *, gradient_accumulation_steps, **kwargs):
        super().__init__(**kwargs)
        self.gradient_accumulation_steps = _checked_steps(type(self).__name__, gradient_accumulation_steps)
        self.micro_batches = MicroBatches()
        self._window_is_lent = False  # True from `accumulate_over_epoch` to `accumulate_as_given`
        self.has_passes_of_one = False  # whether each pass is one micro-batch, which is the full batch then
        self._backend = backend_module()
        self._window = None  # made by `build`, or when a callback asks for it

    # State

    def _build_window(self):
        pass_length = self.micro_batches.expected if self.makes_passes else None
        self._window = Window(self, self._trainable_variables, pass_length, tracked=not self._window_is_lent)

    def scope(self):
        """Context in which variables of this optimizer have to be created when no training step is under way."""
        return self._backend.scope(self)

    def replicas_in_sync(self):
        """How many replicas share a batch."""
        with self.scope():
            return self._backend.replicas_in_sync()

    def add_counter(self, name, start=0, tracked=True):
        """Add an integer variable to the optimizer, which saves it if it is `tracked`."""
        with keras.name_scope(self.name, caller=self):
            variable = keras.Variable(
                initializer=keras.initializers.Constant(start),
                shape=(),
                dtype="int",
                trainable=False,
                aggregation="only_first_replica",
                name=name,
            )
        if tracked:
            self._track_variable(variable)
        return variable

    def add_local_sum(self, shape, dtype, name, tracked=True, layout=None):
        """Add a variable of which each replica has its own value; outside of the replicas it is the sum of these.

        On JAX `layout` says how it is spread over devices.
        """
        with keras.name_scope(self.name, caller=self):
            variable = keras.Variable(
                initializer="zeros",
                shape=shape,
                dtype=dtype,
                trainable=False,
                synchronization="on_read",
                aggregation="sum",
                layout=layout,
                name=name,
            )
        if tracked:
            self._track_variable(variable)
        return variable

    @contextlib.contextmanager
    def _no_accumulators_of_keras(self):
        """Context in which Keras adds no accumulators: they would be of the variables' dtype, bfloat16 for instance."""
        steps, self.gradient_accumulation_steps = self.gradient_accumulation_steps, None
        try:
            yield
        finally:
            self.gradient_accumulation_steps = steps

    search = None  # `custom_optimizers.search.Search`, in an optimizer that looks for its step by the loss

    @property
    def needs_loss(self):
        """Whether an update is made by the loss of the full batch too, which has to be told then."""
        return self.search is not None

    def tell_loss(self, loss):
        """Give the loss of the micro-batch under way, a scalar tensor, before its gradient is applied."""
        self.micro_batches.tell_loss(self._backend.replica(), loss)

    def loss_of_micro_batch(self):
        """The loss of the micro-batch under way; a ValueError if nothing has told it. None where it is not needed."""
        if not self.needs_loss:
            return None
        loss = self.micro_batches.loss(self._backend.replica())
        if loss is None:
            raise ValueError(
                f"{type(self).__name__} needs the loss of all samples, and not of a batch: give `fit` the callback "
                "`callbacks.FullBatch()`."
            )
        return loss

    # When an update is due

    @property
    def makes_passes(self):
        """Whether each pass over the data makes one update."""
        return self.gradient_accumulation_steps == EPOCH

    @property
    def takes_batches_whole(self):
        """Whether the gradient of each batch is that of a full batch, so that nothing is summed."""
        return self.gradient_accumulation_steps is None or (self.makes_passes and self.has_passes_of_one)

    @property
    def micro_batches_summed(self):
        """Number of micro-batches whose gradients have been summed for the next update."""
        return self._window.micro_batches_summed

    def steps_of_an_update(self):
        """How many micro-batches make an update: an int or a variable; -1 if that is unknown until the pass ends."""
        return self._window.pass_length if self.makes_passes else self.gradient_accumulation_steps

    def accumulate_over_epoch(self):
        """From now until `accumulate_as_given`, make one update for each pass over the data.

        `callbacks.FullBatch` calls this when a `fit` begins, and `accumulate_as_given` when it has ended. The optimizer
        may be built already. Its config and what it saves do not change, so that a model that is saved during the `fit`
        is as the user has made it.
        """
        if self.makes_passes:
            return
        if self.gradient_accumulation_steps is not None:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps={self.gradient_accumulation_steps}) makes "
                "several updates a pass; only None can become 'epoch'."
            )
        self.gradient_accumulation_steps, self._window_is_lent = EPOCH, True
        if self.built and self._window is None:
            with self.scope():
                self._build_window()
        elif self._window is not None:
            self._window.is_empty = False  # a `fit` that was interrupted may have left something in it

    def accumulate_as_given(self):
        """Accumulate as `gradient_accumulation_steps` was given: the end of `accumulate_over_epoch`.

        The window is kept for the next `accumulate_over_epoch`. Until then its variables are not among the optimizer's
        `variables`.
        """
        if self._window_is_lent:
            self.gradient_accumulation_steps, self._window_is_lent = None, False

    def begin_pass(self, micro_batches=None):
        """Start a pass over the data, with "epoch". Micro-batches of a pass that was not finished are dropped.

        Every pass has to begin with this, since each makes one update.

        Args:
            micro_batches: int, the number of micro-batches in the pass; None if it is unknown, and then `end_pass`
                makes the update.
        """
        self._check_makes_passes()
        self.micro_batches.expected = -1 if micro_batches is None else int(micro_batches)
        if self.built and not self.takes_batches_whole:
            self._window.begin_pass(self.micro_batches.expected)

    def begin_next_pass(self, micro_batches):
        """End a pass of compiled code and begin the next one, within that code.

        Micro-batches that have made no update, since loss scaling has dropped one of them, are dropped, and the pass
        is counted in `skipped_updates`.

        Args:
            micro_batches: int, the number of micro-batches in the next pass.
        """
        if self.takes_batches_whole or not self.built:
            return
        window = self._window
        self._backend.cond(self, ops.greater(window.micro_batches_begun, 0), self._void)
        window.pass_length.assign(micro_batches)

    def _void(self):
        self.count_voided()
        self._window.empty()

    def end_pass(self, complete=True):
        """End a pass over the data, with "epoch".

        Micro-batches may be left that have made no update. If they are the whole pass (it is `complete`, and its length
        was unknown), the update is made now; otherwise they are dropped. If loss scaling has dropped a micro-batch, the
        others are not the full batch: they are dropped too, and the pass is counted in `skipped_updates`.

        Args:
            complete: bool, whether the pass has come to the end of the data.

        Returns:
            What has become of the micro-batches that were left: "nothing" was left, "updated", "dropped", "too short"
            or "too long" (the pass had fewer or more micro-batches than `begin_pass` was given), or "voided" (loss
            scaling dropped one).
        """
        self._check_makes_passes()
        if not self.built or self.takes_batches_whole:
            return "nothing"
        summed, begun = self._window.left()
        if begun == 0:
            self._window.is_empty = True
            return "nothing"
        if self._window.is_closed():
            self._window.empty()
            return "too long"
        if summed == begun and complete and self.micro_batches.expected < 0:
            self._backend.finish_pass(self)
            return "updated"
        voided = summed < begun
        if voided:
            self.count_voided()
        self._window.empty()
        return "voided" if voided else "too short" if complete else "dropped"

    def count_voided(self):
        """Count a pass that made no update, since loss scaling dropped one of its micro-batches."""

    def _check_makes_passes(self):
        if not self.makes_passes:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps={self.gradient_accumulation_steps}) does not make "
                "one update a pass: give it gradient_accumulation_steps='epoch'."
            )

    def _check_knows_passes(self):
        if self.makes_passes and not self.micro_batches.has_weight:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps='epoch') makes one update a pass over the data "
                "and has to be told where a pass ends: give `fit` the callback `callbacks.FullBatch()`."
            )

    # The weight of a micro-batch, which its training step gives

    def micro_batch(self, weight, divisor=None):
        """Context for the training step of one micro-batch, which gives its weight in the full batch.

        ```python
        g = sum(weight * gradient) / sum(divisor)       # over the micro-batches of an update
        ```

        Args:
            weight: scalar, the micro-batch's number of samples when its loss is a mean over them.
            divisor: scalar, `weight` by default.
        """
        return self.micro_batches.weighing(self, weight, weight if divisor is None else divisor)

    def micro_batch_in(self, outer, arguments, counts):
        """`micro_batch` for the training step of a Keras model, whose arguments on JAX contain the state of training.

        Args:
            outer: the model's optimizer: this one, or a `LossScaleOptimizer` around it.
            arguments: of the model's `train_step`.
            counts: function from `is_first`, whether this micro-batch is the first of its update, to
                `(weight, divisor)`.

        Returns:
            `(context, arguments)`: the context to call the step in, and the arguments to call it with.
        """
        arguments, is_first = self._backend.begin_step(self, outer, arguments)
        return self.micro_batches.weighing(self, *counts(is_first), is_first, arguments), arguments

    def is_first_micro_batch(self):
        """Within `micro_batch_in`: whether the micro-batch is the first of its update, a bool or a tensor."""
        return self.micro_batches.is_first(self._backend.replica())

    # Serialisation

    def get_config(self):
        steps = None if self._window_is_lent else self.gradient_accumulation_steps
        return {**super().get_config(), "gradient_accumulation_steps": steps}

    def save_own_variables(self, store):
        with self.without_lent_window():
            super().save_own_variables(store)

    def load_own_variables(self, store):
        with self.without_lent_window():
            super().load_own_variables(store)

    @contextlib.contextmanager
    def without_lent_window(self):
        """Context in which the optimizer has no lent window, so that the window's variables are not saved or loaded."""
        window = self._window
        if self._window_is_lent:
            self._window = None
        try:
            yield
        finally:
            self._window = window


def _checked_steps(owner, steps):
    if steps is None or (isinstance(steps, str) and steps == EPOCH):
        return steps
    if isinstance(steps, Integral) and not isinstance(steps, bool) and 2 <= steps < 2**31:
        return int(steps)
    raise ValueError(
        f"{owner}: `gradient_accumulation_steps` must be None, 'epoch' or an int >= 2. "
        f"Received: gradient_accumulation_steps={steps!r}"
    )
