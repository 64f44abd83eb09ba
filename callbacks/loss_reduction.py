import contextlib
import inspect
import threading

import keras
from keras import ops

MEANS = {"mean": "mean", "sum_over_batch_size": "mean"}
KINDS = ("mean", "mean_with_sample_weight", "sum")


class LossReduction:
    """What a model's loss is over a batch: the mean, the mean by sample weight, or the sum.

    Read from the compiled loss before training, and checked against what the loss does in the first step.

    Args:
        declared: one of the three, taken at the user's word; None to find out.
    """

    def __init__(self, declared=None):
        if declared is not None and MEANS.get(declared, declared) not in KINDS:
            raise ValueError(
                f"FullBatch: `reduction` must be None or one of {', '.join(map(repr, KINDS))}. Received: {declared!r}"
            )
        self.declared = MEANS.get(declared, declared)
        self.kind = self.declared
        self._checked = False

    def read(self, model):
        """Set `kind` for this model, or raise a ValueError that says what cannot be exact."""
        self._checked = False
        if self.declared is not None:
            return
        if type(model).compute_loss is not keras.Model.compute_loss or "compute_loss" in vars(model):
            raise _inexact(f"{type(model).__name__} has a `compute_loss` of its own")
        kinds = {_kind_of(loss) for loss in keras.tree.flatten(model.loss) if loss is not None}
        if len(kinds) > 1:
            raise ValueError(
                f"FullBatch: the losses have different reductions ({', '.join(sorted(kinds))}), so no weighting of "
                "micro-batches is exact for all of them. Give them the same `reduction`."
            )
        self.kind = kinds.pop() if kinds else "mean"

    def check_weights(self, weights):
        """Raise a ValueError if these sample weights, a list with one for each output, cannot be exact."""
        if self.declared is not None:
            return
        if self.kind == "mean_with_sample_weight" and len(weights) > 1:
            raise ValueError(
                "FullBatch: with reduction='mean_with_sample_weight' each output divides by its own sum of weights, so "
                "the full batch is exact only where all outputs have the same weights. If they have, say so: "
                "FullBatch(reduction='mean_with_sample_weight'). Else use reduction='sum_over_batch_size'."
            )
        if self.kind == "sum" and any(w is not None and len(w.shape) == 2 and w.shape[1] == 1 for w in weights):
            raise ValueError(
                "FullBatch: sample weights of shape (n, 1) are those of `full_batches` for means, and the loss is a "
                "sum: use full_batches(..., reduction='sum'), or, if they are your own, FullBatch(reduction='sum')."
            )

    def watching(self, model, compute_loss, optimizer):
        """Return `compute_loss`, checked and, under a sum, with regularisers counted once an update."""
        takes_training = "training" in inspect.signature(compute_loss).parameters

        def watched_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
            options = {"training": training} if takes_training else {}
            if not optimizer.micro_batches.told:  # validation, or a step of someone else's
                return compute_loss(x, y, y_pred, sample_weight, **options)
            to_check = self.declared is None and not self._checked
            with _each_loss(self._check_loss) if to_check else contextlib.nullcontext():
                total = compute_loss(x, y, y_pred, sample_weight, **options)
            if to_check:
                _check_layers(model)
            self._checked = True
            if self.kind == "sum":
                total = total - _repeated(model, optimizer.is_first_micro_batch(), total.dtype)
            return total

        return watched_loss

    def check_was_computed(self, model):
        """Raise a ValueError if a step has been made without a look at its loss."""
        if self.declared is None and not self._checked:
            raise _inexact(f"the train_step of {type(model).__name__} does not call `compute_loss`")

    def _check_loss(self, loss, true, predicted):
        is_masked = getattr(predicted, "_keras_mask", None) is not None  # a cast would lose it
        true, predicted = (ops.convert_to_tensor(leaf, dtype=loss.dtype) for leaf in (true, predicted))
        if not _is_for_each_sample(loss, true, predicted):
            raise _inexact(f"the loss '{loss.name}' does not return a value for each sample")
        is_masked = is_masked or getattr(loss.call(true, predicted), "_keras_mask", None) is not None
        if is_masked and self.kind != "sum":
            raise ValueError(
                f"FullBatch: the loss '{loss.name}' is masked (by a Masking or Embedding layer or `ignore_class`), and "
                "the mean over a micro-batch then divides by the number of unmasked values in it. Use a loss with "
                "reduction='sum', or pass the mask as sample_weight with reduction='mean_with_sample_weight'."
            )


@contextlib.contextmanager
def _each_loss(look):
    """Call `look(loss, y_true, y_pred)` for each Keras loss that this thread computes inside the context.

    The compiled loss pairs losses with targets and outputs by rules of its own (lists, dictionaries, partial ones), and
    calls each by `Loss.__call__`, so that is where to look.
    """
    call, thread = keras.losses.Loss.__call__, threading.get_ident()

    def looked_at(loss, y_true, y_pred, sample_weight=None):
        if threading.get_ident() == thread:
            look(loss, y_true, y_pred)
        return call(loss, y_true, y_pred, sample_weight)

    keras.losses.Loss.__call__ = looked_at
    try:
        yield
    finally:
        keras.losses.Loss.__call__ = call


class _Call(keras.Operation):
    """A loss as an operation, whose output's shape Keras can infer."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def call(self, true, predicted):
        return self.loss.call(true, predicted)


def _is_for_each_sample(loss, true, predicted):
    """Whether the values of a loss have the batch as their first axis, and only there, for a batch of unknown size."""
    unknown = (
        keras.KerasTensor((None, *t.shape[1:]), keras.backend.standardize_dtype(t.dtype)) for t in (true, predicted)
    )
    shape = _Call(loss)(*unknown).shape
    others_known = None not in (*true.shape[1:], *predicted.shape[1:])
    return len(shape) > 0 and shape[0] is None and not (others_known and None in shape[1:])


def _check_layers(model):
    regularizers = sum(v.regularizer is not None for v in model.trainable_variables)
    if len(model.losses) > regularizers:
        raise _inexact("a layer adds a loss of its own (`add_loss` or `activity_regularizer`)")


def _kind_of(loss):
    if isinstance(loss, keras.losses.Circle) or getattr(loss, "fn", loss) in ("circle", keras.losses.circle):
        raise ValueError(
            "FullBatch: the Circle loss compares the samples of a batch with each other: micro-batches are not exact "
            "for it. Train with one batch, without FullBatch."
        )
    if not isinstance(loss, keras.losses.Loss):
        return "mean"  # what Keras makes of names and functions
    if type(loss).__call__ is not keras.losses.Loss.__call__:
        raise _inexact(f"{type(loss).__name__} overrides `__call__`")
    if loss.reduction in (None, "none"):
        raise ValueError(
            f"FullBatch: the loss '{loss.name}' has no reduction. Give it reduction='sum_over_batch_size' or 'sum'."
        )
    return MEANS.get(loss.reduction, loss.reduction)


def _repeated(model, is_first, dtype):
    """The losses of weight regularisers, 0 in the first micro-batch: what a sum would count once too often."""
    losses = [v.regularizer(v) for v in model.trainable_variables if v.regularizer is not None]
    if not losses:
        return ops.zeros((), dtype)
    replicas = getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1)
    total = ops.sum(ops.stack([ops.cast(ops.sum(loss), dtype) for loss in losses])) / replicas
    return ops.where(is_first, ops.zeros_like(total), total)


def _inexact(what):
    return ValueError(
        f"FullBatch: {what}, and nothing tells whether it is a mean or a sum over the batch. If you know, say so: "
        "FullBatch(reduction='mean'), 'mean_with_sample_weight' or 'sum'."
    )
