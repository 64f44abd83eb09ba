import functools

import keras
from keras import ops

from callbacks.step_of_fit import StepOfFit
from custom_optimizers.backend import backend_module

MEANS = ("mean", "sum_over_batch_size")


class BlockGradient(StepOfFit):
    """Takes the gradient of each batch block by block: the model sees the samples of one block at a time.

    ```python
    L_b = mean(loss over block b)                   # by sample weights
    g = sum(weight_b * gradient(L_b)) / blocks      # weight_b: mean sample weight of the block
    ```

    Without layers that couple samples that is the gradient that Keras takes. With batch normalisation each block is
    normalised by its own statistics, so that a block is part of the model and no longer tied to the memory there is:
    batches of any multiple of it give the same gradients and the same running statistics. A block whose samples all
    have weight 0 is not counted in the statistics.

    A subclass overrides `block_gradient` to make something else of each block's gradient.

    Put it behind `FullBatch` in `callbacks`. Works with any optimizer of Keras, on TensorFlow, JAX and torch.

    Args:
        block_size: int >= 1, samples in a block; batches have to be multiples of it, or one smaller than it. None: a
            batch is a block.

    Raises:
        ValueError: `block_size` is none, the batch is no multiple of it, the loss is no mean over the batch, or the
            model has a `train_step` of its own or a loss scale (mixed_float16).

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import BlockGradient, FullBatch
    >>> from custom_optimizers import BatchGD
    >>> layers = [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    >>> model = keras.Sequential(layers)
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
    >>> x = np.random.rand(128, 3)
    >>> callbacks = [FullBatch(), BlockGradient(block_size=32)]
    >>> history = model.fit(x, x.sum(axis=1), batch_size=64, epochs=3, callbacks=callbacks, verbose=0)
    """

    def __init__(self, block_size=None):
        super().__init__()
        is_int = isinstance(block_size, int) and not isinstance(block_size, bool)
        if block_size is not None and (not is_int or block_size < 1):
            raise ValueError(f"{self._name}: `block_size` must be None or an int >= 1. Received: {block_size!r}")
        self.block_size = block_size

    def block_gradient(self, loss, weights, gradients, learning_rate):
        """What counts as the gradient of a block.

        Args:
            loss: `Loss` of the block.
            weights: list of tensors, the values of the trainable variables.
            gradients: list of tensors, the gradient of the loss at `weights`.
            learning_rate: scalar tensor, of the update that is under way.

        Returns:
            A list of tensors.
        """
        return gradients

    def prepare(self, model):
        if type(model).train_step is not keras.Model.train_step:
            raise ValueError(f"{self._name}: {type(model).__name__} has a `train_step` of its own.")
        if hasattr(model.optimizer, "inner_optimizer") and hasattr(model.optimizer, "dynamic_scale"):
            raise ValueError(f"{self._name}: mixed_float16 scales the loss; use mixed_bfloat16.")
        for loss in keras.tree.flatten(model.loss):
            if getattr(loss, "reduction", "mean") not in MEANS:
                raise ValueError(
                    f"{self._name}: the loss '{loss.name}' must be a mean over the batch (sum_over_batch_size). "
                    f"Received: reduction={loss.reduction!r}"
                )

    def around_step(self, model, step, *arguments):
        if not self._in_fit:
            raise ValueError(f"{self._name} was given to something else and not to this `fit`: give it to this too.")
        if keras.backend.backend() == "jax":
            return self._stateless_step(model, *arguments)
        return self._step(model, *arguments)

    @property
    def _name(self):
        return type(self).__name__

    def _step(self, model, data):
        model._symbolic_build(data_batch=data)  # metrics have to be there before a loop
        others = others_of(model)
        rate = ops.copy(model.optimizer.learning_rate)
        weights, values = ([ops.copy(v) for v in variables] for variables in (model.trainable_variables, others))
        gradients, values = self._descended(model, weights, values, rate, data)
        for variable, value in zip(others, values, strict=True):
            variable.assign(value)
        gradients = [gradient / _replicas(model) for gradient in gradients]  # which are summed
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return model.get_metrics_result()

    def _stateless_step(self, model, state, data):
        weights, non_trainable, optimizer_values, metrics = state
        others = others_of(model)
        with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer_values, strict=True))):
            rate = ops.convert_to_tensor(model.optimizer.learning_rate)
        gradients, values = self._descended(model, weights, [*non_trainable, *metrics], rate, data)
        weights, optimizer_values = model.optimizer.stateless_apply(optimizer_values, gradients, weights)
        with keras.StatelessScope(list(zip(others, values, strict=True))):
            logs = model.get_metrics_result()
        count = len(non_trainable)
        return logs, (weights, values[:count], optimizer_values, values[count:])

    def _descended(self, model, weights, others, rate, data):
        """The gradient of a batch, and the values of all other variables after it."""
        blocks, count, share = self._blocks(data)
        sums = [ops.zeros_like(weight) for weight in weights]

        def take_in(index, carried):
            sums, others = carried
            block = _each(lambda leaf: leaf[index], blocks)
            gradients, others = self._of_block(model, weights, others, rate, block, share)
            return [s + g for s, g in zip(sums, gradients, strict=True)], others

        if isinstance(count, int) and count == 1:
            sums, others = take_in(0, (sums, others))
        else:
            sums, others = ops.fori_loop(0, count, take_in, (sums, others))
        return [s / ops.cast(count, s.dtype) for s in sums], others

    def _blocks(self, data):
        """`(x, y, sample_weight)` with an axis for blocks first, and how many there are."""
        parts = keras.utils.unpack_x_y_sample_weight(data)
        n = ops.shape(next(leaf for leaf in keras.tree.flatten(parts[0]) if leaf is not None))[0]
        size = n if self.block_size is None else self.block_size
        if isinstance(n, int):
            size = min(size, n)
            if n % size:
                nearest = (2 * n + size) // (2 * size) * size  # n > size
                raise ValueError(f"{self._name}: batches of {n} are no multiple of block_size={size}; take {nearest}.")
        elif self.block_size is not None:
            size = ops.minimum(size, n)
        count = n // size
        return _each(lambda leaf: ops.reshape(leaf, (count, size, *leaf.shape[1:])), parts), count, size

    def _of_block(self, model, weights, others, rate, block, size):
        """A block's share of the gradient, and the values of all other variables after it."""
        x, y, sample_weight = block
        share, normalised = _shares(self._name, sample_weight)
        loss = Loss(model, others, x, y, normalised)
        (value, (y_pred, after)), gradients = loss.and_gradients(weights)
        gradients = self.block_gradient(loss, weights, gradients, rate)
        if sample_weight is not None:  # nothing of a block that only fills the batch
            after = [ops.where(share > 0, new, old) for new, old in zip(after, others, strict=True)]
            gradients = [gradient * ops.cast(share, gradient.dtype) for gradient in gradients]
            value = value * ops.cast(share, value.dtype)
        variables = others_of(model)
        with keras.StatelessScope(list(zip(variables, after, strict=True))) as scope:
            model._loss_tracker.update_state(value, sample_weight=size)
            model.compute_metrics(x, y, y_pred, sample_weight)
        return gradients, _values_in(scope, variables, after)


class Loss:
    """The loss of a block as a function of the weights.

    Args:
        model: compiled `keras.Model`.
        others: list of tensors, the values of what is not trained, metrics last.
        x, y, sample_weight: of the block.
    """

    def __init__(self, model, others, x, y, sample_weight):
        self._model, self._others, self._data = model, others, (x, y, sample_weight)
        self._backend = backend_module()

    def __call__(self, weights):
        """`(loss, (y_pred, values of what is not trained after it))` at some weights."""
        model, variables = self._model, others_of(self._model)
        x, y, sample_weight = self._data
        known = [*zip(model.trainable_variables, weights, strict=True), *zip(variables, self._others, strict=True)]
        with keras.StatelessScope(known) as scope:
            y_pred = model(x, training=True) if model._call_has_training_arg else model(x)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        loss = loss * _replicas(model)  # by which Keras has divided it
        return loss, (y_pred, _values_in(scope, variables, self._others))

    def and_gradients(self, weights):
        """`(what the call returns, gradient)` at some weights."""
        return self._backend.value_and_gradients(self, list(weights))

    def gradients(self, weights):
        """The gradient at some weights; nothing is changed by it, such as running statistics."""
        return self.and_gradients(weights)[1]

    def hessian_product(self, weights, vectors):
        """The product of the Hessian at some weights with vectors."""
        return self._backend.hessian_product(self, list(weights), list(vectors))


def norm_of(tensors):
    """The Euclidean norm of a list of tensors taken together."""
    return ops.sqrt(functools.reduce(ops.add, [ops.sum(ops.square(tensor)) for tensor in tensors]))


def _each(function, structure):
    """The same structure of what a function makes of each part that is there."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), structure)


def _replicas(model):
    """How many devices of TensorFlow share each batch."""
    return getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)


def others_of(model):
    """All variables of a model that are not trained, those of metrics last."""
    return [*model.non_trainable_variables, *model.metrics_variables]


def _values_in(scope, variables, before):
    found = (scope.get_current_value(variable) for variable in variables)
    return [old if new is None else ops.cast(new, old.dtype) for new, old in zip(found, before, strict=True)]


def _shares(owner, sample_weight):
    """The mean weight of a block's samples, and their weights divided by it."""
    given = [leaf for leaf in keras.tree.flatten(sample_weight) if leaf is not None]
    if not given:
        return None, sample_weight
    if len(given) > 1:
        raise ValueError(f"{owner}: outputs with sample weights of their own are not supported; give one for all.")
    share = ops.mean(ops.cast(given[0], keras.config.floatx()))
    return share, given[0] / ops.cast(ops.where(share > 0, share, 1), given[0].dtype)
