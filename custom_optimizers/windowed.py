import contextlib
from numbers import Integral

import keras

from custom_optimizers.backend import backend_module
from custom_optimizers.micro_batch import MicroBatches
from custom_optimizers.window import Window

EPOCH = "epoch"  # one update a pass over the data


class Windowed(keras.optimizers.Optimizer):
    """Base class of `Descent`: an optimizer that sums the gradients of several micro-batches for an update.

    ```python
    total += weight * gradient                    # for each micro-batch; weight and divisor are 1 if nothing says more
    divisors += divisor
    g = total / divisors                          # when an update is due
    ```

    What is summed lies in a `Window`. `callbacks.FullBatch` lends an optimizer one for the length of a `fit`.

    Args:
        gradient_accumulation_steps: None, an int k >= 2, or "epoch", as in `Descent`.
        kwargs: of `keras.optimizers.Optimizer`.
    """

    def __init__(self, *, gradient_accumulation_steps, **kwargs):
        super().__init__(**kwargs)
        self.gradient_accumulation_steps = _checked_steps(type(self).__name__, gradient_accumulation_steps)
        self.micro_batches = MicroBatches()
        self._is_lent = False  # whether `accumulate_over_epoch` holds until `accumulate_as_given`
        self._backend = backend_module()
        self._window = None  # made by `build`, or when a callback asks for it

    # State

    def _build_window(self):
        pass_length = self.micro_batches.expected if self.makes_passes else None
        self._window = Window(self, self._trainable_variables, pass_length, tracked=not self._is_lent)

    def scope(self):
        """Context in which variables of this optimizer have to be created outside of a training step."""
        return self._backend.scope(self)

    def add_counter(self, name, start=0, tracked=True):
        """Add an integer variable to the optimizer, among those that it saves if it is `tracked`."""
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
        """Add a variable that each replica adds to by itself; read outside of the replicas it is the sum of all.

        On JAX it lies on devices as `layout` says.
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
        """Keras would add accumulators in the variables' own dtype, bfloat16 for instance."""
        steps, self.gradient_accumulation_steps = self.gradient_accumulation_steps, None
        try:
            yield
        finally:
            self.gradient_accumulation_steps = steps

    # When an update is due

    @property
    def makes_passes(self):
        """Whether an update ends with a pass over the data."""
        return self.gradient_accumulation_steps == EPOCH

    @property
    def micro_batches_counted(self):
        """Number of micro-batches that wait for the next update."""
        return self._window.counted

    def steps_of_an_update(self):
        """How many micro-batches make an update: an int or a variable, -1 if it is not known before the pass ends."""
        return self._window.pass_length if self.makes_passes else self.gradient_accumulation_steps

    def accumulate_over_epoch(self):
        """Make one update a pass over the data until `accumulate_as_given`, also when this is built already.

        `callbacks.FullBatch` calls this when a `fit` begins, and the other when it has ended. Nothing of it is saved
        or in the config, so that a model saved meanwhile is the user's own.
        """
        if self.makes_passes:
            return
        if self.gradient_accumulation_steps is not None:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps={self.gradient_accumulation_steps}) makes "
                "several updates a pass; only None can become 'epoch'."
            )
        self.gradient_accumulation_steps, self._is_lent = EPOCH, True
        if self.built and self._window is None:
            with self.scope():
                self._build_window()

    def accumulate_as_given(self):
        """Accumulate as `gradient_accumulation_steps` was given: the end of `accumulate_over_epoch`.

        The memory of the sums is kept for the next time, and is none of the optimizer's `variables` until then.
        """
        if self._is_lent:
            self.gradient_accumulation_steps, self._is_lent = None, False

    def begin_pass(self, micro_batches=None):
        """Start a pass over the data, with "epoch": forget micro-batches of an unfinished one.

        A pass makes one update, so each begins with this.

        Args:
            micro_batches: int, how many there are in the pass; None if unknown, in which case only `end_pass` makes
                the update.
        """
        self._check_makes_passes()
        self.micro_batches.expected = -1 if micro_batches is None else int(micro_batches)
        if self.built:
            self._window.begin_pass(self.micro_batches.expected)

    def end_pass(self, complete=True):
        """End a pass over the data, with "epoch".

        If micro-batches are left without an update, the update is made now when they are the whole pass
        (`complete`, and its length was not known), and otherwise they are dropped. When loss scaling has dropped a
        micro-batch, what is left is not the full batch: it is dropped too, and counted in `skipped_updates`.

        Returns:
            "nothing" was left, "updated", "dropped", "too short" or "too long" for the length given, or "voided" by
            loss scaling.
        """
        self._check_makes_passes()
        if not self.built:
            return "nothing"
        counted, seen = self._window.left()
        if seen == 0:
            return "nothing"
        if self._window.is_closed():
            self._window.empty()
            return "too long"
        if counted == seen and complete and self.micro_batches.expected < 0:
            self._backend.finish_pass(self)
            return "updated"
        voided = counted < seen
        if voided:
            self.count_voided()
        self._window.empty()
        return "voided" if voided else "too short" if complete else "dropped"

    def count_voided(self):
        """Count a pass that made no update, since loss scaling dropped a part of it."""

    def _check_makes_passes(self):
        if not self.makes_passes:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps={self.gradient_accumulation_steps}) does not make "
                "one update a pass: give it gradient_accumulation_steps='epoch'."
            )

    def _check_is_told_of_passes(self):
        if self.makes_passes and not self.micro_batches.told:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps='epoch') makes one update a pass over the data "
                "and has to be told where a pass ends: give `fit` the callback `callbacks.FullBatch()`."
            )

    # What a training step says of its micro-batch

    def micro_batch(self, weight, divisor=None):
        """Context for the training step of one micro-batch: how much it counts in the full batch.

        ```python
        g = sum(weight * gradient) / sum(divisor)       # over the micro-batches of an update
        ```

        Args:
            weight: scalar, the micro-batch's number of samples when its loss is a mean over them.
            divisor: scalar, `weight` by default.
        """
        return self.micro_batches.weighing(self, weight, weight if divisor is None else divisor)

    def micro_batch_in(self, outer, arguments, counts):
        """The same for the step of a Keras model, whose arguments have the state of training on JAX.

        Args:
            outer: the model's optimizer: this one, or a `LossScaleOptimizer` around it.
            arguments: of the model's `train_step`.
            counts: function from `is_first`, whether this micro-batch is the first of its update, to
                `(weight, divisor)`.

        Returns:
            `(context, arguments)`, to call the step in and with.
        """
        arguments, is_first = self._backend.begin_step(self, outer, arguments)
        return self.micro_batches.weighing(self, *counts(is_first), is_first, arguments), arguments

    def is_first_micro_batch(self):
        """Within `micro_batch_in`: whether the micro-batch is the first of its update, a bool or a tensor."""
        return self.micro_batches.is_first(self._backend.replica())

    # Serialisation

    def get_config(self):
        steps = None if self._is_lent else self.gradient_accumulation_steps
        return {**super().get_config(), "gradient_accumulation_steps": steps}

    def save_own_variables(self, store):
        with self.nothing_lent():
            super().save_own_variables(store)

    def load_own_variables(self, store):
        with self.nothing_lent():
            super().load_own_variables(store)

    @contextlib.contextmanager
    def nothing_lent(self):
        """Without the window that was lent, which is empty wherever a pass begins."""
        window = self._window
        if self._is_lent:
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
