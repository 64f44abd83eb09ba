import contextlib

import keras
from keras import ops

from custom_optimizers.backend import backend_module
from custom_optimizers.dtypes import wide_floatx


class Loss:
    """The loss that Keras's training step takes of a batch, as a function of the weights.

    ```python
    y_pred = model(x, training=True)
    loss = model.compute_loss(x, y, y_pred, sample_weight)      # with add_loss, regularisers of weights and activities
    gradient = d(scale * loss) / d(weights) / scale
    ```

    Each evaluation begins with the same random numbers and running statistics, so that it is one function; nothing is
    changed by it.

    Args:
        model: compiled `keras.Model`.
        others: list of tensors, the values of what is not trained, metrics last.
        x, y, sample_weight: of the batch.
        scale: scalar tensor, by which the optimizer scales losses; None for 1.
        random: state of the backend's own random numbers, as its `random_state` gives it, for every evaluation; None:
            the first one goes on with those there are, and the others repeat them.
    """

    def __init__(self, model, others, x, y, sample_weight, scale=None, random=None):
        self._model, self._others, self._data = model, others, (x, y, sample_weight)
        self._scale, self._random = scale, random
        self._backend = backend_module()

    def __call__(self, weights):
        """`(scaled loss, (loss, y_pred, values of what is not trained after it))` at some weights."""
        model, variables = self._model, others_of(self._model)
        x, y, sample_weight = self._data
        y_pred, after, losses = _forward(model, weights, self._others, x)
        known = [*zip(model.trainable_variables, weights, strict=True), *zip(variables, after, strict=True)]
        with _added(model, losses), keras.StatelessScope(known) as scope:
            loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        loss = loss * replicas()  # by which Keras has divided it
        scaled = loss if self._scale is None else loss * ops.cast(self._scale, loss.dtype)
        return scaled, (loss, y_pred, values_in(scope, variables, after))

    @property
    def weight(self):
        """What weights of samples multiply the loss by, a scalar tensor: their mean over samples and outputs.

        1 without weights, and where a loss divides by their sum.
        """
        one = ops.ones((), wide_floatx())
        leaves = keras.tree.flatten(self._data[2])
        reductions = {getattr(loss, "reduction", None) for loss in keras.tree.flatten(self._model.loss)}
        if "mean_with_sample_weight" in reductions:
            return one
        return ops.mean(ops.stack([one if each is None else ops.mean(ops.cast(each, one.dtype)) for each in leaves]))

    def and_gradients(self, weights):
        """`((loss, y_pred, values of what is not trained after it), gradient)` at some weights."""
        with self._same_random_numbers():
            (_, found), gradients = self._backend.value_and_gradients(self, list(weights))
        return found, self._unscaled(gradients)

    def gradients(self, weights):
        """The gradient at some weights."""
        return self.and_gradients(weights)[1]

    def hessian_product(self, weights, vectors):
        """The product of the Hessian at some weights with vectors."""
        with self._same_random_numbers():
            return self._unscaled(self._backend.hessian_product(self, list(weights), list(vectors)))

    def _same_random_numbers(self):
        if self._random is not None:
            return self._backend.random_numbers_of(self._random)
        self._random = self._backend.random_state()
        return contextlib.nullcontext()

    def _unscaled(self, tensors):
        return tensors if self._scale is None else [t / ops.cast(self._scale, t.dtype) for t in tensors]


def others_of(model):
    """All variables of a model that are not trained, those of metrics last."""
    return [*model.non_trainable_variables, *model.metrics_variables]


def values_in(scope, variables, before):
    """The values that variables have at the end of a scope."""
    found = (scope.get_current_value(variable) for variable in variables)
    return [old if new is None else ops.cast(new, old.dtype) for new, old in zip(found, before, strict=True)]


def replicas():
    """How many devices of TensorFlow share each batch of the step under way; one outside of a strategy's steps."""
    return backend_module().replicas_in_sync()


def _forward(model, weights, others, x):
    """`(y_pred, values of what is not trained after it, losses of layers and regularisers)`, as Keras's own step."""
    options = {"training": True} if model._call_has_training_arg else {}
    count = len(model.non_trainable_variables)
    if keras.backend.backend() == "jax":  # whose step calls the model without what `__call__` casts
        y_pred, after, losses = model.stateless_call(weights, others[:count], x, return_losses=True, **options)
        return y_pred, [*after, *others[count:]], losses
    variables = others_of(model)
    known = [*zip(model.trainable_variables, weights, strict=True), *zip(variables, others, strict=True)]
    with keras.StatelessScope(known, collect_losses=True) as scope:
        y_pred = model(x, **options)
        losses = model.losses
    return y_pred, values_in(scope, variables, others), losses


@contextlib.contextmanager
def _added(model, losses):
    """Make the losses of a forward pass those that `compute_loss` adds: Keras's own step on JAX does it like this."""
    before, model._losses_override = model._losses_override, losses
    try:
        yield
    finally:
        model._losses_override = before
