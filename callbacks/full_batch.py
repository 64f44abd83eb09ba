import keras
from keras import ops

from callbacks.loss_reduction import LossReduction
from callbacks.watched import descent_of, stop_if_diverged


class FullBatch(keras.callbacks.Callback):
    """Makes `fit` descend the exact gradient of the whole training set, in micro-batches.

    ```python
    weights = n_b                                   # loss averaged over the batch: number of samples
    weights = sum(sample_weight)                    # reduction="mean_with_sample_weight"
    g = sum(weights * gradient) / sum(weights)      # over all micro-batches of the pass
    g = sum(gradient)                               # reduction="sum"; regularisers count once
    ```

    An optimizer of `custom_optimizers` with `gradient_accumulation_steps=None` is turned to "epoch": one update a
    pass over the data. One with an int k keeps updating every k micro-batches, which are then weighted by their
    number of samples too. The result is that of one batch with all samples, for any number of samples and any
    `batch_size`, up to rounding. Losses by mean over the batch, by weighted mean and by sum are exact, as are sample
    weights, class weights and the regularisers of weights.

    What cannot be exact is refused: masks and `ignore_class` under a mean (each micro-batch divides by a count of its
    own), activity regularisers and `add_loss` (nothing says whether they are a mean or a sum over the batch), loss
    functions that return a scalar, losses of different reductions, and an overridden `compute_loss`. Where you know
    that the loss of your model is a mean or a sum over the batch, say so by `reduction` and nothing is refused.

    Put it first in `callbacks`. Batches of unknown number (generators) get their update before validation begins, or
    else at the end of the epoch. A pass that `model.stop_training` ends early makes no update. With mixed_float16, a
    micro-batch that loss scaling drops voids the pass, which is counted in `skipped_updates`. Five skipped updates in
    a row stop `fit`.

    Args:
        reduction: None (read it from the compiled loss), or what the total loss is over the batch, taken at your word:
            "mean", "mean_with_sample_weight", or "sum".

    Raises:
        TypeError: the model's optimizer is not one of `custom_optimizers`.
        ValueError: the full batch could not be exact. The message says why and what to do.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import FullBatch
    >>> from custom_optimizers import BatchGD
    >>> model = keras.Sequential([keras.layers.Dense(1)])
    >>> model.compile(optimizer=BatchGD(learning_rate=0.1), loss="mse")
    >>> x = np.random.rand(997, 3)
    >>> history = model.fit(x, x.sum(axis=1), batch_size=100, epochs=3, callbacks=[FullBatch()], verbose=0)
    >>> int(model.optimizer.iterations)
    3
    """

    def __init__(self, reduction=None):
        super().__init__()
        self.reduction = reduction
        self._loss_reduction = LossReduction(reduction)
        self._optimizer = None

    def set_model(self, model):
        super().set_model(model)
        self._optimizer = descent_of(model.optimizer, "FullBatch")
        self._loss_reduction.read(model)
        if self._optimizer.gradient_accumulation_steps is None:
            self._optimizer.accumulate_over_epoch()
        if self._optimizer is not model.optimizer:  # loss scaling may drop micro-batches
            self._optimizer.watch_gradients()
        self._optimizer.is_watched = True
        self._install_step()

    def on_epoch_begin(self, epoch, logs=None):
        if self._one_update_a_pass:
            self._optimizer.begin_pass(self.params.get("steps"))

    def on_test_begin(self, logs=None):
        self._end_pass()

    def on_epoch_end(self, epoch, logs=None):
        self._end_pass()
        stop_if_diverged(self.model, self._optimizer)

    def on_train_end(self, logs=None):
        self._optimizer.is_watched = False
        _uninstall(self.model)

    @property
    def _one_update_a_pass(self):
        return self._optimizer.gradient_accumulation_steps == "epoch"

    def _end_pass(self):
        if self._one_update_a_pass:
            self._optimizer.end_pass(complete=not self.model.stop_training)

    def _install_step(self):
        """Let the next train function be made of the weighing step, and only the next.

        `fit` calls `make_train_function` after this callback has got its model. A later `fit` or `train_on_batch`
        calls it again and gets Keras's own, unless a FullBatch is installed anew: a function that survived from a
        `fit` that was interrupted would go on silently in the middle of a pass.
        """
        model = self.model
        _uninstall(model)
        make, plain_step = model.make_train_function, model.train_step

        def make_weighing(force=False):
            model.compute_loss = self._loss_reduction.watching(model, self._optimizer)
            model.train_step = lambda *data: self._weighing_step(plain_step, *data)
            make(force=True)
            model.make_train_function = make_plain

        def make_plain(force=False):
            _uninstall(model)
            make(force=True)

        model.make_train_function = make_weighing

    def _weighing_step(self, step, data):
        with self._optimizer.micro_batch(*self._counts_for(data)):
            logs = step(data)
        self._loss_reduction.check_was_computed(self.model)
        return logs

    def _counts_for(self, data):
        """`(weight, divisor)` of a micro-batch, as `Descent.micro_batch` takes them."""
        x, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self._loss_reduction.kind == "sum":
            return 1.0, ops.cast(self._loss_reduction.is_first(self._optimizer), "float32")
        if self._loss_reduction.kind == "mean_with_sample_weight" and sample_weight is not None:
            weights = keras.tree.flatten(sample_weight)
            if len(weights) > 1:
                raise ValueError(
                    "FullBatch: with reduction='mean_with_sample_weight' each output divides by its own sum of "
                    "weights, so the full batch is exact for a single sample_weight only. Give one for all outputs, "
                    "or use reduction='sum_over_batch_size'."
                )
            weight = ops.sum(ops.cast(weights[0], "float32"))
        else:
            first = next(leaf for leaf in keras.tree.flatten(x) if leaf is not None)
            weight = ops.cast(ops.shape(first)[0], "float32")
        return weight, weight


def _uninstall(model):
    """Give the model back the methods of its class, and drop a train function that was made with others."""
    installed = [vars(model).pop(name, None) for name in ("make_train_function", "train_step", "compute_loss")]
    if any(installed):
        model.train_function = None
