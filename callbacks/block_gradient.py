import keras
from keras import ops

from callbacks.batch_size import number_of_samples
from callbacks.full_batch import FullBatch
from callbacks.inside_keras import DataOfFit
from callbacks.loss import Loss, replicas, untrained_variables, values_in
from callbacks.loss_reduction import LossReduction, check_has_reduction
from callbacks.step_of_fit import StepOfFit, build_symbolically
from custom_optimizers.arguments import count as count_of
from custom_optimizers.backend import backend_module
from custom_optimizers.dtypes import wide_dtype


class BlockGradient(StepOfFit):
    """Takes the gradient of each batch block by block: the model sees the samples of one block at a time.

    ```python
    L_b = loss that Keras's training step takes of block b          # with weights, regularisers and add_loss
    g = mean(gradient(L_b) for each block b of the batch)
    ```

    If no layer couples the samples of a batch, this is the gradient that Keras takes. Batch normalisation does couple
    them: it normalises each block by the block's own statistics. So the block size changes what the model computes, and
    the batch size does not: batches of any multiple of the block size give the same gradients and the same running
    statistics, and can be as large as memory allows. A block whose samples all have weight 0 is not counted in the
    statistics.

    A subclass overrides `block_gradient` to change the gradient of each block. Its gradients are those of the unscaled
    loss, also where the optimizer scales the loss (mixed_float16, `loss_scale_factor`).

    This works with any optimizer of Keras, on TensorFlow, JAX and torch, before or after `FullBatch` in `callbacks`. A
    `fit` can have one such callback.

    Args:
        block_size: int >= 1, samples in a block. A batch has to be a multiple of it, or smaller than it. None: each
            batch is one block.
        reduction: None or "mean". With a `block_size` the loss has to be a mean over the batch. None: a loss that
            cannot be seen to be one is refused, as `FullBatch` does. "mean": you say that it is one, and that is not
            checked.

    Raises:
        ValueError: `block_size` is not an int >= 1, a batch is no multiple of it, the loss is no mean over the batch,
            the model has a `train_step` of its own, or another callback makes the step.

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

    makes_step = True

    def __init__(self, block_size=None, reduction=None):
        super().__init__()
        self.block_size = None if block_size is None else count_of(self._name, "block_size", block_size)
        self.reduction = reduction
        self._loss_reduction = LossReduction(self._name, reduction, ("mean",))
        self._checks_loss = False  # whether losses are checked here, and not by `FullBatch`

    def block_gradient(self, loss, weights, gradients, learning_rate):
        """What is used as the gradient of a block.

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
            raise ValueError(
                f"{self._name}: {type(model).__name__} has a `train_step` of its own, which this callback would "
                "replace. Leave one of them out."
            )
        if hasattr(model.optimizer, "optimizers"):
            raise ValueError(f"{self._name}: {type(model.optimizer).__name__} has several learning rates; give it one.")

    def check_others(self, model, others):
        """Check that the loss is a mean over the batch; where there is a `FullBatch`, it knows and checks that."""
        full_batch = next((each for each in others if isinstance(each, FullBatch)), None)
        self._checks_loss = False
        check_has_reduction(self._name, model)
        if full_batch is not None and full_batch.loss_reduction.kind == "sum" and self._regularizers_matter(model):
            raise ValueError(
                f"{self._name}: under a sum, regularisers count in the first micro-batch of `FullBatch` alone, and the "
                "result would depend on which micro-batch is the first. Use a loss that is a mean over the batch."
            )
        if self.block_size is None:
            return
        if type(model).compute_metrics is not keras.Model.compute_metrics:
            raise ValueError(
                f"{self._name}: {type(model).__name__} has a `compute_metrics` of its own, which makes logs of a whole "
                "batch. Use block_size=None."
            )
        if full_batch is None:
            self._loss_reduction.read(model)
        elif full_batch.loss_reduction.kind != "mean":
            raise ValueError(
                f"{self._name}: with a `block_size` the loss must be a mean over the batch (sum_over_batch_size). "
                f"Received: reduction={full_batch.loss_reduction.kind!r}"
            )
        self._checks_loss = full_batch is None

    def _regularizers_matter(self, model):
        """Whether it matters in which micro-batch regularisers count: if `block_gradient` may not be linear."""
        is_overridden = type(self).block_gradient is not BlockGradient.block_gradient
        return is_overridden and any(v.regularizer is not None for v in model.trainable_variables)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self.block_size is not None and replicas() == 1:
            for n in DataOfFit(self._model).sizes():
                self._check_multiple(n, min(n, self.block_size))

    def around_loss(self, model, compute_loss):
        def watched_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
            def compute(*data):
                return compute_loss(*data, training=training) if takes_training else compute_loss(*data)

            data = x, y, y_pred, sample_weight
            if self._checks_loss and training:
                return self._loss_reduction.checked(model, compute, *data)
            return compute(*data)

        takes_training = model._compute_loss_has_training_arg
        return watched_loss

    def around_step(self, model, step, *arguments):
        if not self._in_fit:
            raise ValueError(f"{self._name} was given to something else and not to this `fit`: give it to this `fit`.")
        if keras.backend.backend() == "jax":
            return self._stateless_step(model, *arguments)
        return self._step(model, *arguments)

    @property
    def _name(self):
        return type(self).__name__

    def _step(self, model, data):
        build_symbolically(model, data)  # metrics have to exist before `ops.fori_loop` begins
        variables, scale = untrained_variables(model), _loss_scale(model.optimizer)
        rate = ops.copy(model.optimizer.learning_rate)
        weights, untrained = ([ops.copy(v) for v in each] for each in (model.trainable_variables, variables))
        gradients, untrained, logs = self._gradient_of_batch(model, weights, untrained, rate, scale, data)
        for variable, value in zip(variables, untrained, strict=True):
            variable.assign(value)
        gradients = [gradient / replicas() for gradient in gradients]  # the optimizer sums those of all replicas
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return model.get_metrics_result() if logs is None else logs

    def _stateless_step(self, model, state, data):
        weights, non_trainable, optimizer_values, metrics = state
        with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer_values, strict=True))):
            rate = ops.convert_to_tensor(model.optimizer.learning_rate)
            scale = _loss_scale(model.optimizer)
        untrained = [*non_trainable, *metrics]
        gradients, untrained, logs = self._gradient_of_batch(model, weights, untrained, rate, scale, data)
        weights, optimizer_values = model.optimizer.stateless_apply(optimizer_values, gradients, weights)
        if logs is None:
            with keras.StatelessScope(list(zip(untrained_variables(model), untrained, strict=True))):
                logs = model.get_metrics_result()
        count = len(non_trainable)
        return logs, (weights, untrained[:count], optimizer_values, untrained[count:])

    def _gradient_of_batch(self, model, weights, untrained, rate, scale, data):
        """`(gradient times the loss scale, values of the untrained variables after the batch, logs)`.

        The logs are None if the batch has several blocks: the metrics have counted all of them, and give the logs.
        """
        blocks, count, size = self._blocks(data)

        def add_block(index, carried):
            sums, untrained = carried
            block = _each(lambda leaf: leaf[index], blocks)
            gradients, untrained, _ = self._gradient_of_block(model, weights, untrained, rate, scale, block, size)
            return [s + ops.cast(g, s.dtype) for s, g in zip(sums, gradients, strict=True)], untrained

        if isinstance(count, int) and count == 1:
            gradients, untrained, logs = self._gradient_of_block(model, weights, untrained, rate, scale, blocks, size)
        else:
            logs = None
            sums = [ops.zeros(weight.shape, wide_dtype(weight)) for weight in weights]
            sums, untrained = ops.fori_loop(0, count, add_block, (sums, untrained))
            gradients = [s / ops.cast(count, s.dtype) for s in sums]
        return [g if scale is None else g * ops.cast(scale, g.dtype) for g in gradients], untrained, logs

    def _blocks(self, data):
        """`((x, y, sample_weight), number of blocks, samples in a block)`; the first axis of each tensor is of blocks.

        If there is one block it is the batch as it is, without that axis: it may have parts that are not of samples.
        """
        parts = keras.utils.unpack_x_y_sample_weight(data)
        n = number_of_samples(self._name, *parts[:2])
        if self.block_size is None or (isinstance(n, int) and n <= self.block_size):
            return parts, 1, n
        size = min(n, self.block_size) if isinstance(n, int) else ops.minimum(n, self.block_size)
        if isinstance(n, int):
            self._check_multiple(n, size)
        for leaf in keras.tree.flatten(parts):
            if leaf is not None and isinstance(n, int) and leaf.shape[:1] != (n,):
                raise ValueError(
                    f"{self._name}: a batch of {n} samples has a part of shape {tuple(leaf.shape)}, which cannot be "
                    "cut into blocks. Use block_size=None."
                )
        n = self._checked_multiple(n, size)
        count = n // ops.maximum(size, 1) if not isinstance(n, int) else n // size
        count = count if isinstance(n, int) else ops.maximum(count, 1)  # a device may have no samples: an empty block
        size = n // count
        return _each(lambda leaf: ops.reshape(leaf, (count, size, *leaf.shape[1:])), parts), count, size

    def _check_multiple(self, n, size):
        if n % size:
            nearest = (2 * n + size) // (2 * size) * size  # n > size
            raise ValueError(f"{self._name}: batches of {n} are no multiple of block_size={size}; take {nearest}.")

    def _checked_multiple(self, n, size):
        """The number of samples; a step of TensorFlow that knows it only when it runs checks it then."""
        if isinstance(n, int):
            return n
        fits = ops.equal(n % ops.maximum(size, 1), 0)
        message = f"{self._name}: the batch is no multiple of block_size={self.block_size}; take another batch_size."
        return backend_module().checked(n, [fits], message)

    def _gradient_of_block(self, model, weights, untrained, rate, scale, block, size):
        """`(what is used as its gradient, values of the untrained variables after the block, logs)`."""
        x, y, sample_weight = block
        loss = Loss(model, untrained, x, y, sample_weight, scale)
        (value, y_pred, after), gradients = loss.and_gradients(weights)
        gradients = self.block_gradient(loss, weights, gradients, rate)
        count = len(model.non_trainable_variables)
        used = _has_weight(sample_weight)
        if used is not None:  # a block without any weight only fills the batch, and changes no statistics
            kept = [ops.where(used, new, old) for new, old in zip(after[:count], untrained[:count], strict=True)]
            after = [*kept, *after[count:]]
        variables = untrained_variables(model)
        with keras.StatelessScope(list(zip(variables, after, strict=True))) as scope:
            model._loss_tracker.update_state(value, sample_weight=size)
            logs = model.compute_metrics(x, y, y_pred, sample_weight)
        return gradients, values_in(scope, variables, after), logs


def _each(function, structure):
    """Call a function on each leaf of a structure that is not None; return the structure of the results."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), structure)


def _has_weight(sample_weight):
    """Whether some sample of a block has a weight other than 0, a scalar bool tensor; None if there are no weights."""
    given = [leaf for leaf in keras.tree.flatten(sample_weight) if leaf is not None]
    if not given:
        return None
    return ops.any(ops.stack([ops.any(ops.not_equal(leaf, 0)) for leaf in given]))


def _loss_scale(optimizer):
    """The factor that an optimizer scales losses by, a scalar tensor; None if it does not."""
    if optimizer.loss_scale_factor is None and not hasattr(optimizer, "dynamic_scale"):
        return None
    return optimizer.scale_loss(ops.ones((), "float32"))
