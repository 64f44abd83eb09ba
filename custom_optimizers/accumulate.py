import keras
from keras import ops

from custom_optimizers.descent import Descent

WRAPPER_ARGUMENTS = {  # what the wrapper does in place of the inner optimizer: an attribute, and its value if not given
    "gradient_accumulation_steps": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "loss_scale_factor": None,
    "clipping": None,
    "diagnostics": False,
}


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Accumulate(Descent):
    """Gives any Keras optimizer exact accumulation over micro-batches, and the clippers of this package.

    ```python
    total += weight * gradient                    # for each micro-batch
    g = clip(total / sum(weights))                # when an update is due
    w = inner's update of w by g
    ```

    The inner optimizer gives its update rule, learning rate and weight decay. Everything else belongs to this one:
    accumulation, clipping, moving average, rates and exclusions by path. So Adam, Nadam, RMSprop and the others count
    updates here, not micro-batches, and gradients are clipped after they have been summed over replicas.

    Args:
        inner: a `keras.optimizers.Optimizer` that is not built yet, of Keras, of this package or of your own, with an
            `update_step`.
        gradient_accumulation_steps: None, an int k >= 2, or "epoch", as in `Descent`.
        clipping: None, a clipper of `custom_optimizers.clipping`, or a list of them.
        kwargs: the other arguments of `Descent` except `learning_rate` and `weight_decay`, which are the inner one's.

    Raises:
        ValueError: the inner optimizer accumulates, clips or averages by itself, or wraps another optimizer. The
            message says which argument belongs here.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import Accumulate
    >>> from custom_optimizers.clipping import ByGlobalNorm
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(Accumulate(keras.optimizers.Adam(0.1), clipping=ByGlobalNorm(1.0)), loss="mse")
    >>> x = np.random.rand(1000, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=64, epochs=2, callbacks=[FullBatch()], verbose=0)
    >>> int(model.optimizer.iterations)  # one update a pass
    2
    """

    arithmetic = False

    def __init__(self, inner, *, gradient_accumulation_steps=None, clipping=None, **kwargs):
        owner = type(self).__name__
        if isinstance(inner, dict):
            inner = keras.saving.deserialize_keras_object(inner)
        _check(owner, inner, kwargs)
        super().__init__(_no_rate, gradient_accumulation_steps=gradient_accumulation_steps, clipping=clipping, **kwargs)
        self.inner = inner

    @property
    def _learning_rate(self):
        """The inner optimizer's: a variable, a schedule or a callable."""
        return self.inner._learning_rate if "inner" in vars(self) else _no_rate

    @_learning_rate.setter
    def _learning_rate(self, learning_rate):
        if "inner" in vars(self):  # not yet while Keras's own `__init__` runs
            self.inner._learning_rate = learning_rate

    @property
    def learning_rate(self):
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner.learning_rate = learning_rate

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self.inner.build(variables)
        if self._is_ours:
            self.inner.multipliers = self.multipliers  # which its `share` may need

    @property
    def variables(self):
        own, late = super().variables, self.late_variables
        return [*own[: len(own) - len(late)], *self.inner.variables, *late]

    @property
    def slots(self):
        """What the inner optimizer keeps, if it is one of this package."""
        return getattr(self.inner, "slots", [])

    @slots.setter
    def slots(self, none_of_its_own):
        pass

    @property
    def rate_times_gradient(self):
        return self._is_ours and self.inner.rate_times_gradient

    @property
    def needs_dense_gradients(self):
        return True  # a sparse gradient may have several rows for one word; Keras squares each, and not their sum

    @property
    def decays_in_gradients(self):
        return self.inner.weight_decay is not None and self.weight_decay_mode == "coupled"

    @property
    def _is_ours(self):
        return isinstance(self.inner, Descent)

    def prepare(self, gradients, variables, learning_rate):
        if self._is_ours:
            return self.inner.prepare(gradients, variables, learning_rate)
        if isinstance(self.inner, keras.optimizers.Nadam):
            _advance_product(self.inner)
        return gradients, ()

    def update_step(self, gradient, variable, learning_rate, *shared):
        self.inner.update_step(gradient, variable, learning_rate, *shared)

    def finish(self, variables, shared):
        if self._is_ours:
            self.inner.finish(variables, shared)

    def count_update(self):
        super().count_update()
        self.inner._iterations.assign_add(1)

    def finalize_variable_values(self, var_list):
        super().finalize_variable_values(var_list)
        if not self.use_ema:
            self.inner.finalize_variable_values(var_list)

    def decays(self, variable):
        index = self._get_variable_index(variable)
        return (
            self.weight_decay_of(variable) is not None
            and index not in self.not_decayed.by_index
            and self._use_weight_decay(variable)
            and self.inner._use_weight_decay(variable)
        )

    def weight_decay_of(self, variable):
        inner = self.inner
        if isinstance(inner, keras.optimizers.Muon):  # it has another weight decay for the variables that Adam trains
            is_adam = inner.adam_velocities[inner._get_variable_index(variable)] is not None
            return inner.adam_weight_decay if is_adam else inner.weight_decay
        return inner.weight_decay

    def get_config(self):
        config = super().get_config()
        return {
            **{name: value for name, value in config.items() if name not in ("learning_rate", "weight_decay")},
            "inner": keras.saving.serialize_keras_object(self.inner),
        }


def _no_rate():
    """Stands for a learning rate until that of the inner optimizer takes its place."""
    return 0.0


def _check(owner, inner, others):
    """Raise a ValueError if an optimizer cannot be wrapped."""
    if not isinstance(inner, keras.optimizers.Optimizer):
        raise ValueError(f"{owner}: `inner` must be a keras.optimizers.Optimizer. Received: {inner!r}")
    for name in ("learning_rate", "weight_decay"):
        if others.get(name) is not None:
            raise ValueError(f"{owner}: give `{name}` to the inner optimizer.")
    kind = type(inner).__name__
    if inner.built:
        raise ValueError(f"{owner}: `inner` must not be built yet; give it a new {kind}.")
    if isinstance(inner, keras.optimizers.LossScaleOptimizer):
        raise ValueError(f"{owner}: `inner` cannot be a {kind}. Put the {owner} inside of the {kind}.")
    if getattr(inner, "search", None) is not None:
        raise ValueError(f"{owner}: `inner` cannot be a {kind} with a search, which goes by the loss: give it alone.")
    if isinstance(inner, Accumulate):
        raise ValueError(f"{owner}: `inner` cannot be a {kind}, which wraps an optimizer too. Leave one of them out.")
    if type(inner).update_step is keras.optimizers.Optimizer.update_step:
        raise ValueError(f"{owner}: `inner` must have an update rule of its own, an `update_step`; {kind} has none.")
    if getattr(inner, "gradient_accumulation_steps", None) == "epoch":  # as AcceleratedGD has it by itself
        raise ValueError(
            f"{owner}: give the inner {kind} `gradient_accumulation_steps=None`; {owner} says what a full batch is."
        )
    for name, nothing in WRAPPER_ARGUMENTS.items():
        if getattr(inner, name, nothing) not in (nothing, None):
            raise ValueError(f"{owner}: give `{name}` to {owner}, not to the inner {kind}.")
    for patterns in getattr(inner, "patterns", []):
        if patterns.given and patterns.argument in ("learning_rate_multipliers", "exclude_from_weight_decay"):
            raise ValueError(f"{owner}: give `{patterns.argument}` to {owner}, not to the inner {kind}.")
    if getattr(inner, "weight_decay_mode", "decoupled") != "decoupled":
        raise ValueError(f"{owner}: give `weight_decay_mode` to {owner}, not to the inner {kind}.")


def _advance_product(nadam):
    """Advance the product that Nadam keeps for all variables, which it does itself before it changes them."""
    product = nadam._u_product
    t = ops.cast(nadam.iterations + 1, product.dtype)
    product.assign(product * nadam.beta_1 * (1.0 - 0.5 * ops.power(ops.cast(0.96, product.dtype), t)))
