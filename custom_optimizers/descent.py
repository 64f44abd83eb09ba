import contextlib

import keras
from keras import ops

from custom_optimizers.arguments import number_in, one_of
from custom_optimizers.backend import backend_module
from custom_optimizers.clipping.clipper import as_clippers
from custom_optimizers.diagnostics import Diagnostics, number
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.micro_batch import MicroBatches
from custom_optimizers.patterns import Patterns
from custom_optimizers.scaled_gradients import ScaledGradients
from custom_optimizers.units import path_of
from custom_optimizers.window import Window

EPOCH = "epoch"  # one update a pass over the data


class Descent(keras.optimizers.Optimizer):
    """Base class of every optimizer here: what happens between a micro-batch's gradient and an update.

    ```python
    total += weight * gradient                    # for each micro-batch, on each replica by itself
    g = sum_over_replicas(total) / sum_over_replicas(weights)     # from here on only when an update is due
    g = clip(g)
    rate = learning_rate * multiplier             # of the variable; 1 by default
    w = w - rate * weight_decay * w               # decoupled; coupled: g = g + weight_decay * w
    change, slots = rule(g, slots, rate)
    w = w + change
    ```

    The sum is kept in float32 or the variable's dtype, whichever is wider. `iterations`, learning-rate schedules,
    weight decay, the moving average of the weights and constraints count updates, never micro-batches.

    A subclass names what it keeps of each variable in `slot_names`, implements `rule(gradient, slots, learning_rate)`,
    and names its arguments in `arguments`. A rule that is not made of `+`, `-`, `*` and `/` alone, entry by entry, says
    `arithmetic = False`; one that needs something of all variables together, such as a norm, implements `share`; one
    that needs the variable itself overrides `update_step`.

    Args:
        learning_rate: float >= 0, `keras.optimizers.schedules.LearningRateSchedule` (called with the number of updates
            made so far), or a callable without arguments.
        gradient_accumulation_steps: None: each batch is the full batch. An int k >= 2: one update for every k
            micro-batches, whose gradients are averaged with equal weights, or by number of samples when `fit` has
            `callbacks.FullBatch()`. "epoch": one update a pass; needs `callbacks.FullBatch()`, which sets it.
        clipping: None, a clipper of `custom_optimizers.clipping`, or a list of them, applied in order to the full
            batch's gradient after it has been summed over replicas.
        diagnostics: bool. Record the gradient's norm before and after clipping, the number of clipped updates, and
            skip updates whose gradient is not finite, or so large (a norm of 1e30 and more) that nothing would be left
            of the clipped step in float32. Always on with `clipping`. Five skipped updates in a row end
            training: by the callbacks `FullBatch` and `GradientMonitor` with one line, and without them by an
            InvalidArgumentError on TensorFlow and a FloatingPointError on torch. Code compiled by XLA (JAX, and
            TensorFlow with `jit_compile=True`) cannot raise an error and goes on skipping.
        weight_decay: float >= 0 or None.
        weight_decay_mode: "decoupled" (Keras, AdamW): `w -= learning_rate * weight_decay * w`, untouched by
            momentum. "coupled" (`torch.optim.SGD`, L2): `g += weight_decay * w` after clipping.
        exclude_from_weight_decay: None or a list of regular expressions, such as `["bias", "norm"]`. A variable whose
            path (`model.trainable_variables[0].path`, "sequential/dense/kernel") has a match does not decay.
        learning_rate_multipliers: None or a dict from regular expressions to numbers >= 0, such as
            `{"head/": 10, "stem/": 0}`. The rate of a variable is multiplied by the number of the first expression that
            its path has a match for. 0 freezes it.
        clipnorm, clipvalue, global_clipnorm: as in Keras, but of the gradient summed over replicas.
        use_ema, ema_momentum, ema_overwrite_frequency: as in Keras, but counting updates.
        loss_scale_factor, name: as in Keras.

    Raises:
        ValueError: an argument is out of its range, or a regular expression matches no variable. The message names
            it.
        ValueError: on TensorFlow, under MultiWorkerMirroredStrategy, with which `fit` fails.
        RuntimeError: the Keras backend is not TensorFlow, JAX or torch.
    """

    def __init__(
        self,
        learning_rate,
        *,
        gradient_accumulation_steps=None,
        clipping=None,
        diagnostics=False,
        weight_decay=None,
        weight_decay_mode="decoupled",
        exclude_from_weight_decay=None,
        learning_rate_multipliers=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        name=None,
        **kwargs,
    ):
        super().__init__(
            learning_rate=learning_rate,
            name=name,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            **kwargs,
        )
        owner = type(self).__name__
        if isinstance(learning_rate, float):
            number_in(owner, "learning_rate", learning_rate, least=0)
        self.gradient_accumulation_steps = _checked_steps(owner, gradient_accumulation_steps)
        self.weight_decay_mode = one_of(owner, "weight_decay_mode", weight_decay_mode, ("decoupled", "coupled"))
        self.not_decayed = Patterns.of_list(owner, "exclude_from_weight_decay", exclude_from_weight_decay)
        self.multipliers = Patterns.of_dict(owner, "learning_rate_multipliers", learning_rate_multipliers)
        self.clippers = as_clippers(clipping)
        if self.clippers and (clipnorm or clipvalue or global_clipnorm):
            raise ValueError(
                f"{owner}: give either `clipping` or one of `clipnorm`, `clipvalue` and `global_clipnorm`, not both."
            )
        self.diagnostics = bool(diagnostics or self.clippers)
        self.is_watched = False  # whether a callback stops `fit` when gradients are not finite
        self.micro_batches = MicroBatches()
        self._matched = None  # which variables the arguments about paths mean, as the config has it
        self._backend = backend_module()
        self._backend.check_devices(owner)
        self._window = self._record = None  # made by `build`, or when a callback asks for them

    # State

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        self._match_patterns(variables)
        with self._no_accumulators_of_keras():
            super().build(variables)
        self.slots = [self.add_optimizer_variables(variables, name) for name in self.slot_names]
        self._clipper_states = [self._build_clipper_state(c, variables) for c in self.clippers]
        if self.gradient_accumulation_steps is not None:
            self._build_window()
        if self.diagnostics:
            self._record = Diagnostics(self)

    def _match_patterns(self, variables):
        """Find out which variables the arguments about paths mean.

        A saved model knows their paths: Keras numbers the layers of a loaded model anew and may drop the model's name.
        """
        described = [[path_of(v).rpartition("/")[2], list(v.shape)] for v in variables]
        saved = self._matched or {}
        paths = saved["paths"] if saved.get("variables") == described else [path_of(v) for v in variables]
        given = [patterns for patterns in self.patterns if patterns.given]
        for patterns in given:
            patterns.match(paths)
        self._matched = {"variables": described, "paths": paths} if given else None

    @property
    def patterns(self):
        """All arguments about paths, a list of `Patterns`."""
        return [self.not_decayed, self.multipliers, *(each for clipper in self.clippers for each in clipper.patterns)]

    def accumulate_over_epoch(self):
        """Make one update a pass over the data, also when this optimizer has been built already.

        `callbacks.FullBatch` calls this; the config says `gradient_accumulation_steps="epoch"` afterwards.
        """
        if self.gradient_accumulation_steps == EPOCH:
            return
        if self.gradient_accumulation_steps is not None:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps={self.gradient_accumulation_steps}) makes "
                "several updates a pass; only None can become 'epoch'."
            )
        self.gradient_accumulation_steps = EPOCH
        if self.built:
            with self.scope():
                self._build_window()

    def watch_gradients(self):
        """Turn the diagnostics on, also when this optimizer has been built already."""
        if self.diagnostics:
            return
        self.diagnostics = True
        if self.built:
            with self.scope():
                self._record = Diagnostics(self)

    def scope(self):
        """Context in which variables of this optimizer have to be created outside of a training step."""
        return self._backend.scope(self)

    @property
    def variables(self):
        """All variables, those of accumulation and diagnostics last whenever they were added."""
        late = [v for group in (self._window, self._record) if group is not None for v in group.variables]
        is_late = {id(variable) for variable in late}
        return [v for v in self._variables if id(v) not in is_late] + late

    @property
    def makes_passes(self):
        """Whether an update ends with a pass over the data."""
        return self.gradient_accumulation_steps == EPOCH

    @property
    def iterations(self):
        """Number of updates made."""
        return self._iterations

    @property
    def micro_batches_counted(self):
        """Number of micro-batches that wait for the next update."""
        return self._window.counted

    @contextlib.contextmanager
    def _no_accumulators_of_keras(self):
        """Keras would add accumulators in the variables' own dtype, bfloat16 for instance."""
        steps, self.gradient_accumulation_steps = self.gradient_accumulation_steps, None
        try:
            yield
        finally:
            self.gradient_accumulation_steps = steps

    def _build_clipper_state(self, clipper, variables):
        with keras.name_scope(self.name, caller=self):
            state = [keras.Variable(array, trainable=False) for array in clipper.initial_state(variables)]
        for variable in state:
            self._track_variable(variable)
        return state

    def _build_window(self):
        epoch = self.gradient_accumulation_steps == EPOCH
        self._window = Window(self, self._trainable_variables, self.micro_batches.expected if epoch else None)

    def add_counter(self, name, start=0):
        """Add an integer variable to the optimizer."""
        return self.add_variable(
            (),
            initializer=keras.initializers.Constant(start),
            dtype="int",
            aggregation="only_first_replica",
            name=name,
        )

    def add_local_sum(self, shape, dtype, name):
        """Add a variable that each replica adds to by itself; read outside of the replicas it is the sum of all."""
        with keras.name_scope(self.name, caller=self):
            variable = keras.Variable(
                initializer="zeros",
                shape=shape,
                dtype=dtype,
                trainable=False,
                synchronization="on_read",
                aggregation="sum",
                name=name,
            )
        self._track_variable(variable)
        return variable

    # One step

    def apply(self, grads, trainable_variables=None):
        """Take in the gradients of one batch, and make an update if one is due.

        Args:
            grads: list of gradients, None for a variable without one.
            trainable_variables: list of variables, one for each gradient; builds the optimizer on the first call.
                By default those it was built with.
        """
        if len(grads) == 0:
            return
        self._check_is_told_of_passes()
        variables = self._known(grads, trainable_variables)
        with keras.name_scope(self.name, caller=self):
            grads, variables = self._filter_empty_gradients(grads, variables)
            if self.gradient_accumulation_steps is None:
                grads, variables = self._overwrite_variables_directly_with_gradients(grads, variables)
            else:
                self._refuse_overwritten(variables)
            if len(grads) == 0:
                self.count_update()
                return
            if self.loss_scale_factor is not None:
                grads = [g / self.loss_scale_factor for g in grads]
            self._backend.step(self, grads, variables)

    # The rule

    arguments = ()  # names of the arguments of `__init__` that a subclass adds, which are attributes too
    slot_names = ()  # of what is kept of each variable from one update to the next, zeros at first
    arithmetic = True  # whether `rule` is made of `+`, `-`, `*` and `/` alone, entry by entry
    rate_times_gradient = False  # whether `rule` uses the learning rate and the gradient as their product only

    def rule(self, gradient, slots, learning_rate, *shared):
        """The update rule: a pure function.

        Where `arithmetic` is true it is called on torch once for all variables, with objects that stand for as many
        tensors.

        Args:
            gradient: tensor, of the full batch, clipped; in float32 or wider, whatever the variable's dtype.
            slots: tuple of tensors, one for each of `slot_names`.
            learning_rate: scalar tensor.
            shared: what `share` returns.

        Returns:
            `(change, slots)`: what is added to the variable, and what is kept.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither a `rule` nor an `update_step`.")

    def share(self, gradients, variables, learning_rate):
        """What the rule needs of all variables together: a tuple of scalar tensors. A pure function.

        Args:
            gradients: list of tensors, of the full batch, clipped.
            variables: list of the variables that they are of.
            learning_rate: scalar tensor.
        """
        return ()

    def finish(self, variables, shared):
        """What remains to be done when all variables have been changed, before their moving average is taken.

        Args:
            variables: list of the variables that have gradients.
            shared: what `share` returned.
        """

    def update_step(self, gradient, variable, learning_rate, *shared):
        """Change one variable by its gradient, as `rule` says. For rules that it cannot say, subclasses override this.

        Args:
            gradient: tensor, of the full batch, clipped.
            variable: the variable.
            learning_rate: scalar tensor, with the variable's multiplier in it.
            shared: what `share` returns.
        """
        kernels = self._backend.kernels
        if kernels is not None and self.step_by_kernel(kernels, gradient, variable, learning_rate):
            return
        index, dtype = self._get_variable_index(variable), wide_dtype(variable)  # 0.999 in bfloat16 is 1
        slots = [slot[index] for slot in self.slots]
        gradient = ops.cast(self._backend.dense(gradient), dtype)
        values = tuple(ops.cast(slot, dtype) for slot in slots)
        scalars = [ops.cast(scalar, dtype) for scalar in (learning_rate, *shared)]
        change, after = self.rule(gradient, values, *scalars)
        for slot, value in zip(slots, after, strict=True):
            self.assign(slot, value)
        self.assign_add(variable, change)

    def step_by_kernel(self, kernels, gradient, variable, learning_rate):
        """What `rule` says by kernels that make one pass over memory, where a backend has them for this rule.

        Args:
            kernels: the module that has them.
            gradient, variable, learning_rate: as in `update_step`.

        Returns:
            Whether that was done.
        """
        return False

    def slots_of(self, variable):
        """What is kept of a variable: a tuple of tensors, one for each of `slot_names`."""
        index = self._get_variable_index(variable)
        return tuple(ops.convert_to_tensor(slot[index]) for slot in self.slots)

    # What `custom_optimizers.update` asks for

    @property
    def needs_dense_gradients(self):
        """Whether something has to be done with a gradient that cannot be done with a sparse one."""
        return self.diagnostics or self.weight_decay_mode == "coupled" or type(self).share is not Descent.share

    def clipped_by_keras(self, gradients):
        """`ScaledGradients` clipped by `clipnorm`, `clipvalue` or `global_clipnorm`."""
        if not (self.clipnorm or self.clipvalue or self.global_clipnorm):
            return gradients
        return ScaledGradients(self._clip_gradients(gradients.multiplied_out()))

    def prepare(self, gradients, variables, learning_rate):
        """`(ScaledGradients, shared)`: the gradients as the rule takes them, and what `share` says of them."""
        if type(self).share is Descent.share:
            return gradients, ()
        tensors = gradients.multiplied_out()
        return ScaledGradients(tensors), tuple(self.share(tensors, variables, learning_rate))

    def count_update(self):
        """Count an update that has been made."""
        self._iterations.assign_add(1)

    def decays(self, variable):
        """Whether weight decay acts on a variable."""
        index = self._get_variable_index(variable)
        return self.weight_decay is not None and index not in self.not_decayed.of and self._use_weight_decay(variable)

    def weight_decay_of(self, variable):
        """The weight decay of a variable that decays."""
        return self.weight_decay

    def multiplier_of(self, variable):
        """What the learning rate of a variable is multiplied by."""
        return self.multipliers.of.get(self._get_variable_index(variable), 1)

    def decay(self, variable, learning_rate):
        """Apply decoupled weight decay to one variable."""
        decay = ops.cast(self.weight_decay_of(variable), variable.dtype)
        self.assign_sub(variable, variable * decay * ops.cast(learning_rate, variable.dtype))

    def with_decay(self, gradient, variable):
        """The gradient of one variable with coupled weight decay in it."""
        decay = ops.cast(self.weight_decay_of(variable), variable.dtype)
        return ops.add(gradient, ops.cast(ops.multiply(variable, decay), gradient.dtype))

    def _known(self, grads, trainable_variables):
        """The variables of `grads`, checked as Keras does; builds the optimizer."""
        if trainable_variables is not None:
            variables = list(trainable_variables)
            if not self.built:
                with keras.name_scope(self.name, caller=self):
                    self.build(variables)
            self._check_variables_are_known(variables)
            return variables
        if not self.built:
            raise ValueError(f"{self.name}: give `apply` the variables, or call `build(trainable_variables)` first.")
        if len(grads) != len(self._trainable_variables):
            raise ValueError(
                f"{self.name}: received {len(grads)} gradients for {len(self._trainable_variables)} variables."
            )
        return self._trainable_variables

    def _check_is_told_of_passes(self):
        if self.gradient_accumulation_steps == EPOCH and not self.micro_batches.told:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps='epoch') makes one update a pass over the data "
                "and has to be told where a pass ends: give `fit` the callback `callbacks.FullBatch()`."
            )

    def _refuse_overwritten(self, variables):
        for variable in variables:
            if self._overwrite_variable_with_gradient(variable):
                raise ValueError(
                    f"{type(self).__name__}: '{variable.path}' is a float8 scale, which gradient accumulation does "
                    "not support. Use gradient_accumulation_steps=None, without `callbacks.FullBatch()`."
                )

    # What callbacks and training loops of one's own need

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

    def begin_pass(self, micro_batches=None):
        """Start a pass over the data, with "epoch": forget micro-batches of an unfinished one.

        Args:
            micro_batches: int, how many there are in the pass; None if unknown, in which case only `end_pass` makes
                the update.
        """
        self._check_makes_passes()
        self.micro_batches.expected = -1 if micro_batches is None else int(micro_batches)
        if self.built:
            self._window.pass_length.assign(self.micro_batches.expected)
            self._window.empty()

    def end_pass(self, complete=True):
        """End a pass over the data, with "epoch".

        If micro-batches are left without an update, the update is made now when they are the whole pass
        (`complete`, and its length was not known), and otherwise they are dropped. When loss scaling has dropped a
        micro-batch, what is left is not the full batch: it is dropped too, and counted in `skipped_updates`.

        Returns:
            "nothing" was left, "updated", "dropped", "too short" for the length given, or "voided" by loss scaling.
        """
        self._check_makes_passes()
        if not self.built:
            return "nothing"
        counted, seen = number(self._window.counted), number(self._window.seen)
        if seen == 0:
            return "nothing"
        if counted == seen and complete and self.micro_batches.expected < 0:
            self._backend.finish_pass(self)
            return "updated"
        voided = counted < seen
        if voided and self.diagnostics:
            self._record.count_skipped()
        self._window.empty()
        return "voided" if voided else "too short" if complete else "dropped"

    def forget_skipped(self):
        """Count from nothing how many updates in a row are skipped; callbacks do so when training begins."""
        if self._record is not None:
            self._record.forget_skipped()

    def _check_makes_passes(self):
        if not self.makes_passes:
            raise ValueError(
                f"{type(self).__name__}(gradient_accumulation_steps={self.gradient_accumulation_steps}) does not make "
                "one update a pass: give it gradient_accumulation_steps='epoch'."
            )

    def read_diagnostics(self):
        """What the diagnostics have recorded.

        Returns:
            A dict: `gradient_norm` and `clipped_norm` (before and after clipping, of the last full batch),
            `clipped_share` (of all updates, 0 to 1), `updates`, `skipped_updates`, `skipped_in_a_row`.
            Empty before the first step.
        """
        if not (self.built and self.diagnostics):
            return {}
        return self._record.read(number(self._iterations))

    def read_variable_norms(self):
        """The Euclidean norm of each variable's gradient in the last full batch, before clipping, by its path.

        Empty before the first step and without diagnostics; 0 for a variable without a gradient.
        """
        if not (self.built and self.diagnostics):
            return {}
        values = ops.convert_to_numpy(self._record.variable_norms).tolist()
        return dict(zip(map(path_of, self._trainable_variables), values, strict=True))

    # Serialisation

    @property
    def clipping(self):
        """The clippers as `clipping=` takes them: None, one, or a list."""
        return None if not self.clippers else self.clippers[0] if len(self.clippers) == 1 else self.clippers

    def get_config(self):
        serialized = [keras.saving.serialize_keras_object(c) for c in self.clippers]
        return {
            **super().get_config(),
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "clipping": serialized or None,
            "diagnostics": self.diagnostics,
            "weight_decay_mode": self.weight_decay_mode,
            "exclude_from_weight_decay": list(self.not_decayed.given) or None,
            "learning_rate_multipliers": dict(self.multipliers.given) or None,
            **{name: getattr(self, name) for name in self.arguments},
            **({"matched": self._matched} if self._matched else {}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        matched = config.pop("matched", None)
        optimizer = super().from_config(config, custom_objects=custom_objects)
        optimizer._matched = matched
        return optimizer

    def finalize_variable_values(self, var_list):
        """At the end of `fit`: give the variables the values of their moving averages, if there are any."""
        super().finalize_variable_values(var_list)
        if self.use_ema:
            self._backend.separate(self._model_variables_moving_average)


def _checked_steps(owner, steps):
    is_count = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 2
    if steps is None or steps == EPOCH or is_count:
        return steps
    raise ValueError(
        f"{owner}: `gradient_accumulation_steps` must be None, 'epoch' or an int >= 2. "
        f"Received: gradient_accumulation_steps={steps!r}"
    )
