import keras
from keras import ops

from callbacks.batch_size import number_of_samples
from callbacks.full_batch import FullBatch
from callbacks.inside_keras import DataOfFit
from callbacks.loss import replicas
from callbacks.loss_reduction import LossReduction, check_has_reduction
from callbacks.loss_step import gradient_of_samples, make_step, scaled_by
from callbacks.object_only import object_only
from callbacks.step_of_fit import StepOfFit
from custom_optimizers.arguments import count as count_of
from custom_optimizers.backend import backend_module
from custom_optimizers.dtypes import wide_dtype


@object_only
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
        self._check_search(model, full_batch)
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

    def _check_search(self, model, full_batch):
        """Raise a ValueError where an optimizer that goes by the loss would get another one, or another gradient."""
        owner = type(model.optimizer).__name__
        if getattr(model.optimizer, "search", None) is None:
            return
        if self._changes_gradient:
            raise ValueError(
                f"{owner}: a search goes by the gradient of the loss, and {self._name} gives another one: leave it out."
            )
        if full_batch is None:
            raise ValueError(
                f"{owner} needs the loss of all samples, and not of a batch: give `fit` the callback "
                "`callbacks.FullBatch()` too."
            )

    @property
    def _changes_gradient(self):
        return type(self).block_gradient is not BlockGradient.block_gradient

    def _regularizers_matter(self, model):
        """Whether it matters in which micro-batch regularisers count: if `block_gradient` may not be linear."""
        return self._changes_gradient and any(v.regularizer is not None for v in model.trainable_variables)

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
        return make_step(model, self._gradient_of_batch, *arguments)

    @property
    def _name(self):
        return type(self).__name__

    def _gradient_of_batch(self, model, weights, untrained, rate, scale, data):
        """`(gradient times the loss scale, values of the untrained variables after the batch, logs, loss)`.

        The logs are None if the batch has several blocks: the metrics have counted all of them, and give the logs.
        """
        blocks, count, size = self._blocks(data)

        def change(loss, weights, gradients):
            return self.block_gradient(loss, weights, gradients, rate)

        def add_block(index, carried):
            sums, untrained = carried
            block = _each(lambda leaf: leaf[index], blocks)
            gradients, untrained, _, loss = gradient_of_samples(model, weights, untrained, scale, block, size, change)
            found = [loss, *gradients]
            return [s + ops.cast(each, s.dtype) for s, each in zip(sums, found, strict=True)], untrained

        if isinstance(count, int) and count == 1:
            found = gradient_of_samples(model, weights, untrained, scale, blocks, size, change)
            return scaled_by(found[0], scale), *found[1:]
        shapes = [((), wide_dtype(*weights)), *((weight.shape, wide_dtype(weight)) for weight in weights)]
        sums = [ops.zeros(shape, dtype) for shape, dtype in shapes]
        sums, untrained = ops.fori_loop(0, count, add_block, (sums, untrained))
        loss, *gradients = [s / ops.cast(count, s.dtype) for s in sums]
        return scaled_by(gradients, scale), untrained, None, loss

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


def _each(function, structure):
    """Call a function on each leaf of a structure that is not None; return the structure of the results."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), structure)
