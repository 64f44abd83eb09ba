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

    Each evaluation begins with the same random numbers and running statistics, so that all of them are of one and the
    same function. It changes no variable.

    Args:
        model: compiled `keras.Model`.
        untrained: list of tensors, the values of `untrained_variables(model)`.
        x, y, sample_weight: of the batch.
        scale: scalar tensor, by which the optimizer scales losses; None for 1.
        random: state of the backend's own random numbers, from its `random_state`, with which each evaluation begins;
            None: the first evaluation begins with the present state, and the others begin with the same.
    """

    def __init__(self, model, untrained, x, y, sample_weight, scale=None, random=None):
        self._model, self._untrained, self._data = model, untrained, (x, y, sample_weight)
        self._scale, self._random = scale, random
        self._backend = backend_module()

    def __call__(self, weights):
        """`(scaled loss, (loss, y_pred, values of the untrained variables after it))` at some weights."""
        model, variables = self._model, untrained_variables(self._model)
        x, y, sample_weight = self._data
        y_pred, after, losses = _forward(model, weights, self._untrained, x)
        known = [*zip(model.trainable_variables, weights, strict=True), *zip(variables, after, strict=True)]
        with _added(model, losses), keras.StatelessScope(known) as scope:
            loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        loss = loss * replicas()  # Keras has divided it by their number
        scaled = loss if self._scale is None else loss * ops.cast(self._scale, loss.dtype)
        return scaled, (loss, y_pred, values_in(scope, variables, after))

    @property
    def weight(self):
        """The factor by which sample weights multiply the loss, a scalar tensor: their mean over samples and outputs.

        It is 1 without weights, and where a loss divides by their sum.
        """
        one = ops.ones((), wide_floatx())
        leaves = keras.tree.flatten(self._data[2])
        reductions = {getattr(loss, "reduction", None) for loss in keras.tree.flatten(self._model.loss)}
        if "mean_with_sample_weight" in reductions:
            return one
        return ops.mean(ops.stack([one if each is None else ops.mean(ops.cast(each, one.dtype)) for each in leaves]))

    def and_gradients(self, weights):
        """`((loss, y_pred, values of the untrained variables after it), gradient)` at some weights."""
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


def untrained_variables(model):
    """The variables of a model that are not trained: its `non_trainable_variables`, then its `metrics_variables`."""
    return [*model.non_trainable_variables, *model.metrics_variables]


def values_in(scope, variables, before):
    """The values that variables have at the end of a scope, in the dtypes of those before."""
    found = (scope.get_current_value(variable) for variable in variables)
    return [old if new is None else ops.cast(new, old.dtype) for new, old in zip(found, before, strict=True)]


def replicas():
    """How many devices of TensorFlow share a batch in the step under way; one outside of such a step."""
    return backend_module().replicas_in_sync()


def _forward(model, weights, untrained, x):
    """`(y_pred, values of the untrained variables after it, losses of layers and regularisers)`.

    The model is called as Keras's own training step calls it.
    """
    options = {"training": True} if model._call_has_training_arg else {}
    count = len(model.non_trainable_variables)
    if keras.backend.backend() == "jax":  # its step leaves out the casts of `__call__`
        y_pred, after, losses = model.stateless_call(weights, untrained[:count], x, return_losses=True, **options)
        return y_pred, [*after, *untrained[count:]], losses
    variables = untrained_variables(model)
    known = [*zip(model.trainable_variables, weights, strict=True), *zip(variables, untrained, strict=True)]
    with keras.StatelessScope(known, collect_losses=True) as scope:
        y_pred = model(x, **options)
        losses = model.losses
    return y_pred, values_in(scope, variables, untrained), losses


@contextlib.contextmanager
def _added(model, losses):
    """Context in which `compute_loss` adds the losses of a forward pass. Keras's own step on JAX does it this way."""
    before, model._losses_override = model._losses_override, losses
    try:
        yield
    finally:
        model._losses_override = before
