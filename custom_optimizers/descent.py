import keras
from keras import ops

from custom_optimizers import declarations
from custom_optimizers.arguments import flag, number_in, positive
from custom_optimizers.clipping.clipper import as_clippers
from custom_optimizers.configured import in_config
from custom_optimizers.diagnosed import Diagnosed
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.scaled_gradients import ScaledGradients

# public attributes that an optimizer has beside its methods and its arguments
ATTRIBUTES = (
    *("built", "clippers", "has_passes_of_one", "is_watched", "micro_batches", "multipliers"),
    *("needs_loss", "not_decayed", "search", "slots"),
)


class Descent(Diagnosed):
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
    and names its arguments in `arguments`; a mistake in these is a TypeError when the class is made. A rule that is not
    made of `+`, `-`, `*` and `/` alone, entry by entry, says `arithmetic = False`; one that needs something of all
    variables together, such as a norm, implements `share`; one that needs the variable itself overrides `update_step`.

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
        owner = type(self).__name__
        bounds = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        for argument, value in {**bounds, "loss_scale_factor": loss_scale_factor}.items():
            if value is not None:
                positive(owner, argument, value)
        super().__init__(
            learning_rate=learning_rate,
            gradient_accumulation_steps=gradient_accumulation_steps,
            weight_decay=weight_decay,
            weight_decay_mode=weight_decay_mode,
            exclude_from_weight_decay=exclude_from_weight_decay,
            learning_rate_multipliers=learning_rate_multipliers,
            **bounds,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            name=name,
            **kwargs,
        )
        if isinstance(learning_rate, float):
            number_in(owner, "learning_rate", learning_rate, least=0)
        self.clippers = as_clippers(clipping)
        if self.clippers and any(bounds.values()):
            raise ValueError(
                f"{owner}: give either `clipping` or one of `clipnorm`, `clipvalue` and `global_clipnorm`, not both."
            )
        self.diagnostics = flag(owner, "diagnostics", diagnostics) or bool(self.clippers)
        self._backend.check_devices(owner)

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        declarations.check(cls, Descent, ("arguments", "slot_names"), ("arithmetic", "rate_times_gradient"), ATTRIBUTES)

    # State

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        self.match_patterns(variables)
        if self.search is not None:
            self.search.prepare(variables)
        with self._no_accumulators_of_keras():
            super().build(variables)
        slot_names = declarations.names(type(self).__name__, "slot_names", self.slot_names)
        self.slots = [self.add_optimizer_variables(variables, name) for name in slot_names]
        self._clipper_states = [self._build_clipper_state(c, variables) for c in self.clippers]
        if self.search is not None:
            self.search.build()
        if self.gradient_accumulation_steps is not None:
            self._build_window()
        if self.diagnostics:
            self.build_record()

    @property
    def patterns(self):
        return [*super().patterns, *(each for clipper in self.clippers for each in clipper.patterns)]

    @property
    def variables(self):
        """All variables. Those of accumulation and diagnostics are the last ones, no matter when they were added."""
        late = self.late_variables
        is_late = {id(variable) for variable in late}
        return [v for v in self._variables if id(v) not in is_late] + late

    @property
    def late_variables(self):
        """The variables of accumulation, while there is any, and of diagnostics."""
        window = None if self.gradient_accumulation_steps is None else self._window
        return [v for group in (window, self._record) if group is not None for v in group.variables]

    @property
    def learning_rate(self):
        """The learning rate of the next update; with a search the first step that it tries."""
        return super().learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        if self.search is not None:
            raise ValueError(
                f"{type(self).__name__}: a search finds the step, so that a learning rate has no effect: leave out "
                "callbacks that set one, such as LearningRateScheduler and ReduceLROnPlateau."
            )
        keras.optimizers.Optimizer.learning_rate.fset(self, learning_rate)

    @property
    def iterations(self):
        """Number of updates made."""
        return self._iterations

    def _build_clipper_state(self, clipper, variables):
        with keras.name_scope(self.name, caller=self):
            state = [keras.Variable(array, trainable=False) for array in clipper.initial_state(variables)]
        for variable in state:
            self._track_variable(variable)
        return state

    # One step

    def apply(self, grads, trainable_variables=None):
        """Use the gradients of one batch: add them to the sums, if there are any, and make an update if one is due.

        Args:
            grads: list of gradients, None for a variable without one.
            trainable_variables: list of variables, one for each gradient; builds the optimizer on the first call.
                By default those it was built with.
        """
        if len(grads) == 0:
            return
        self._check_knows_passes()
        variables = self._checked_variables(grads, trainable_variables)
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
    slot_names = ()  # names of the tensors that are kept for each variable from update to update, zeros at first
    arithmetic = True  # whether `rule` is made of `+`, `-`, `*` and `/` alone, entry by entry
    rate_times_gradient = False  # whether `rule` uses the learning rate and the gradient as their product only

    def rule(self, gradient, slots, learning_rate, *shared):
        """The update rule: a pure function.

        Where `arithmetic` is true it is called on torch once for many variables, with objects that each stand for a
        list of tensors.

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

        `iterations` is the number of updates made before this one.

        Args:
            gradients: list of tensors, of the full batch, clipped.
            variables: list of the variables that they are of.
            learning_rate: scalar tensor.
        """
        return ()

    def finish(self, variables, shared):
        """Called when all variables have been changed, before their moving average is updated.

        Here a subclass writes the variables of its own, which `build` has added and `share` reads.

        Args:
            variables: list of the variables that have gradients.
            shared: what `share` returned.
        """

    def update_step(self, gradient, variable, learning_rate, *shared):
        """Change one variable by its gradient, by `rule`. A subclass whose rule needs more than that overrides this.

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
        """Change one variable by a kernel that makes one pass over memory, if the backend has one for this rule.

        Args:
            kernels: the module that has them.
            gradient, variable, learning_rate: as in `update_step`.

        Returns:
            bool, whether the variable has been changed.
        """
        return False

    def slots_of(self, variable):
        """What is kept of a variable: a tuple of tensors, one for each of `slot_names`."""
        index = self._get_variable_index(variable)
        return tuple(ops.convert_to_tensor(slot[index]) for slot in self.slots)

    # What `custom_optimizers.update` asks for

    @property
    def needs_dense_gradients(self):
        """Whether gradients have to be dense, for something that cannot be done with sparse ones.

        Keras clips a sparse gradient as if a row that occurs twice were two rows.
        """
        bounds = self.clipnorm or self.clipvalue or self.global_clipnorm
        return bool(self.diagnostics or bounds or self.decays_in_gradients or type(self).share is not Descent.share)

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

    def _checked_variables(self, grads, trainable_variables):
        """The variables of `grads`, checked as Keras checks them; builds the optimizer if it is not built."""
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

    def _refuse_overwritten(self, variables):
        for variable in variables:
            if self._overwrite_variable_with_gradient(variable):
                raise ValueError(
                    f"{type(self).__name__}: '{variable.path}' is a float8 scale, which gradient accumulation does "
                    "not support. Use gradient_accumulation_steps=None, without `callbacks.FullBatch()`."
                )

    # Serialisation

    @property
    def clipping(self):
        """The clippers as `clipping=` takes them: None, one, or a list."""
        return None if not self.clippers else self.clippers[0] if len(self.clippers) == 1 else self.clippers

    def get_config(self):
        serialized = [keras.saving.serialize_keras_object(c) for c in self.clippers]
        first = None if self.search is None else self.search.first_step  # which the variable has in float32
        return {
            **super().get_config(),
            **({} if first is None else {"learning_rate": first}),
            "clipping": serialized or None,
            "diagnostics": self.diagnostics,
            **{name: in_config(getattr(self, name)) for name in self.arguments},
        }

    def finalize_variable_values(self, var_list):
        """At the end of `fit`: give the variables the values of their moving averages, if there are any."""
        super().finalize_variable_values(var_list)
        if self.use_ema:
            self._backend.unalias(self._model_variables_moving_average)
