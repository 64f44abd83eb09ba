import keras
from keras import ops

from callbacks.batch_size import number_of_samples
from callbacks.full_batch import FullBatch
from callbacks.inside_keras import DataOfFit
from callbacks.loss import Loss, others_of, replicas, values_in
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

    Without layers that couple samples that is the gradient that Keras takes. With batch normalisation each block is
    normalised by its own statistics, so that a block is part of the model and no longer tied to the memory there is:
    batches of any multiple of it give the same gradients and the same running statistics. A block whose samples all
    have weight 0 is not counted in the statistics.

    A subclass overrides `block_gradient` to make something else of each block's gradient. It gets gradients of the loss
    as it is, also where the optimizer scales it (mixed_float16, `loss_scale_factor`).

    Works with any optimizer of Keras, on TensorFlow, JAX and torch, before or behind `FullBatch` in `callbacks`. One
    such callback makes the step of a `fit`.

    Args:
        block_size: int >= 1, samples in a block; batches have to be multiples of it, or one smaller than it. None: a
            batch is a block.
        reduction: None or "mean". With a `block_size` the loss has to be a mean over the batch, and what cannot be seen
            to be one is refused as `FullBatch` does; "mean" takes your word for it.

    Raises:
        ValueError: `block_size` is none, the batch is no multiple of it, the loss is no mean over the batch, the model
            has a `train_step` of its own, or another callback makes the step.

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
        self._is_looking = False  # whether the loss that is being computed has to be checked here

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
            raise ValueError(
                f"{self._name}: {type(model).__name__} has a `train_step` of its own, which it "
                "would take the place of. Leave one of them out."
            )
        if hasattr(model.optimizer, "optimizers"):
            raise ValueError(f"{self._name}: {type(model.optimizer).__name__} has several learning rates; give it one.")

    def agree(self, model, others):
        """Find out what the loss is over the batch; `FullBatch` knows where it is there, and then checks it too."""
        full_batch = next((each for each in others if isinstance(each, FullBatch)), None)
        self._is_looking = False
        check_has_reduction(self._name, model)
        if full_batch is not None and full_batch.loss_reduction.kind == "sum" and self._is_uneven(model):
            raise ValueError(
                f"{self._name}: under a sum, regularisers count in the first micro-batch of `FullBatch` alone, and "
                "what is made of its gradient would depend on which that is. Take a mean over the batch."
            )
        if self.block_size is None:
            return
        if type(model).compute_metrics is not keras.Model.compute_metrics:
            raise ValueError(
                f"{self._name}: {type(model).__name__} has a `compute_metrics` of its own, whose logs are of a whole "
                "batch. Use block_size=None."
            )
        if full_batch is None:
            self._loss_reduction.read(model)
        elif full_batch.loss_reduction.kind != "mean":
            raise ValueError(
                f"{self._name}: with a `block_size` the loss must be a mean over the batch (sum_over_batch_size). "
                f"Received: reduction={full_batch.loss_reduction.kind!r}"
            )
        self._is_looking = full_batch is None

    def _is_uneven(self, model):
        """Whether what is made of a gradient is no multiple of it, so that it matters where regularisers count."""
        is_made = type(self).block_gradient is not BlockGradient.block_gradient
        return is_made and any(v.regularizer is not None for v in model.trainable_variables)

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
            if self._is_looking and training:
                return self._loss_reduction.checked(model, compute, *data)
            return compute(*data)

        takes_training = model._compute_loss_has_training_arg
        return watched_loss

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
        build_symbolically(model, data)  # metrics have to be there before a loop
        others = others_of(model)
        rate = ops.copy(model.optimizer.learning_rate)
        weights, values = ([ops.copy(v) for v in variables] for variables in (model.trainable_variables, others))
        gradients, values, logs = self._descended(model, weights, values, rate, _loss_scale(model.optimizer), data)
        for variable, value in zip(others, values, strict=True):
            variable.assign(value)
        gradients = [gradient / replicas() for gradient in gradients]  # which are summed
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return model.get_metrics_result() if logs is None else logs

    def _stateless_step(self, model, state, data):
        weights, non_trainable, optimizer_values, metrics = state
        others = others_of(model)
        with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer_values, strict=True))):
            rate = ops.convert_to_tensor(model.optimizer.learning_rate)
            scale = _loss_scale(model.optimizer)
        gradients, values, logs = self._descended(model, weights, [*non_trainable, *metrics], rate, scale, data)
        weights, optimizer_values = model.optimizer.stateless_apply(optimizer_values, gradients, weights)
        if logs is None:
            with keras.StatelessScope(list(zip(others, values, strict=True))):
                logs = model.get_metrics_result()
        count = len(non_trainable)
        return logs, (weights, values[:count], optimizer_values, values[count:])

    def _descended(self, model, weights, others, rate, scale, data):
        """The gradient of a batch, times the scale of its loss; the values of all other variables after it; the logs.

        None for the logs of several blocks, which are what metrics make of all of them.
        """
        blocks, count, size = self._blocks(data)

        def take_in(index, carried):
            sums, others = carried
            block = _each(lambda leaf: leaf[index], blocks)
            gradients, others, _ = self._of_block(model, weights, others, rate, scale, block, size)
            return [s + ops.cast(g, s.dtype) for s, g in zip(sums, gradients, strict=True)], others

        if isinstance(count, int) and count == 1:
            gradients, others, logs = self._of_block(model, weights, others, rate, scale, blocks, size)
        else:
            logs = None
            sums = [ops.zeros(weight.shape, wide_dtype(weight)) for weight in weights]
            sums, others = ops.fori_loop(0, count, take_in, (sums, others))
            gradients = [s / ops.cast(count, s.dtype) for s in sums]
        return [g if scale is None else g * ops.cast(scale, g.dtype) for g in gradients], others, logs

    def _blocks(self, data):
        """`(x, y, sample_weight)` with an axis for blocks first, how many there are, and of how many samples.

        One block is the batch as it is, without that axis: it may have leaves that are not of samples.
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
        """The number of samples, which a step of TensorFlow may know only when it runs."""
        if isinstance(n, int):
            return n
        fits = ops.equal(n % ops.maximum(size, 1), 0)
        message = f"{self._name}: the batch is no multiple of block_size={self.block_size}; take another batch_size."
        return backend_module().checked(n, [fits], message)

    def _of_block(self, model, weights, others, rate, scale, block, size):
        """What counts as a block's gradient, the values of all other variables after it, and the logs."""
        x, y, sample_weight = block
        loss = Loss(model, others, x, y, sample_weight, scale)
        (value, y_pred, after), gradients = loss.and_gradients(weights)
        gradients = self.block_gradient(loss, weights, gradients, rate)
        count = len(model.non_trainable_variables)
        used = _has_weight(sample_weight)
        if used is not None:  # nothing is kept of a block that only fills the batch
            kept = [ops.where(used, new, old) for new, old in zip(after[:count], others[:count], strict=True)]
            after = [*kept, *after[count:]]
        variables = others_of(model)
        with keras.StatelessScope(list(zip(variables, after, strict=True))) as scope:
            model._loss_tracker.update_state(value, sample_weight=size)
            logs = model.compute_metrics(x, y, y_pred, sample_weight)
        return gradients, values_in(scope, variables, after), logs


def _each(function, structure):
    """The same structure of what a function makes of each part that is there."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), structure)


def _has_weight(sample_weight):
    """Whether some sample of a block has weight, a scalar bool tensor; None where there are no weights."""
    given = [leaf for leaf in keras.tree.flatten(sample_weight) if leaf is not None]
    if not given:
        return None
    return ops.any(ops.stack([ops.any(ops.not_equal(leaf, 0)) for leaf in given]))


def _loss_scale(optimizer):
    """What an optimizer multiplies losses by, a scalar tensor; None for nothing."""
    if optimizer.loss_scale_factor is None and not hasattr(optimizer, "dynamic_scale"):
        return None
    return optimizer.scale_loss(ops.ones((), "float32"))
