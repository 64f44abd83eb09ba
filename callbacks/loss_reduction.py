import math

import keras
import numpy as np
from keras import ops

from callbacks.inside_keras import mask_of, observe_losses
from callbacks.loss import replicas
from custom_optimizers.backend import backend_module

MEANS = {"mean": "mean", "sum_over_batch_size": "mean"}
LARGEST_PROBE = 1_000_000  # entries, at most, of the samples that `_depends_on_the_batch` makes up
KINDS = ("mean", "mean_with_sample_weight", "sum")


class LossReduction:
    """What a model's loss is over a batch: the mean, the mean by sample weight, or the sum.

    It is read from the compiled loss before training, and checked against what the loss does: masks are checked in each
    step, since a mask comes with the data, and everything else in the first step.

    Args:
        owner: str, the callback that asks; its name stands in messages.
        declared: one of `kinds`, said by the user and not checked; None to find out.
        kinds: tuple of str, those that the callback supports.
    """

    def __init__(self, owner, declared=None, kinds=KINDS):
        if declared is not None and MEANS.get(declared, declared) not in kinds:
            raise ValueError(
                f"{owner}: `reduction` must be None or one of {', '.join(map(repr, kinds))}. Received: {declared!r}"
            )
        self.owner, self.kinds = owner, kinds
        self.declared = MEANS.get(declared, declared)
        self.kind = self.declared
        self._checked = False

    def read(self, model):
        """Set `kind` for this model; raise a ValueError, which says why, if the full batch cannot be exact."""
        self._checked = False
        if self.declared is not None:
            return
        if type(model).compute_loss is not keras.Model.compute_loss or "compute_loss" in vars(model):
            raise self._inexact(f"{type(model).__name__} has a `compute_loss` of its own")
        check_has_reduction(self.owner, model)
        kinds = {self._kind_of(loss) for loss in keras.tree.flatten(model.loss) if loss is not None}
        if len(kinds) > 1:
            raise ValueError(
                f"{self.owner}: the losses have different reductions ({', '.join(sorted(kinds))}), so no weighting of "
                "micro-batches is exact for all of them. Give them the same `reduction`."
            )
        self.kind = kinds.pop() if kinds else "mean"
        if self.kind not in self.kinds:
            raise ValueError(
                f"{self.owner}: the loss must be a mean over the batch (reduction='sum_over_batch_size'). Received: "
                f"reduction={self.kind!r}"
            )

    def check_weights(self, weights):
        """Raise a ValueError if the full batch cannot be exact with these sample weights, a list with one an output."""
        if self.declared is not None:
            return
        if self.kind == "mean_with_sample_weight" and len(weights) > 1:
            raise ValueError(
                f"{self.owner}: with reduction='mean_with_sample_weight' each output divides by its own sum of "
                "weights, so the full batch is exact only where all outputs have the same weights. If they have, say "
                f"so: {self.owner}(reduction='mean_with_sample_weight'). Else use reduction='sum_over_batch_size'."
            )
        if self.kind == "sum" and any(w is not None and len(w.shape) == 2 and w.shape[1] == 1 for w in weights):
            raise ValueError(
                f"{self.owner}: sample weights of shape (n, 1) are those of `full_batches` for means, and the loss is "
                "a sum: use full_batches(..., reduction='sum'), or, if they are your own, FullBatch(reduction='sum')."
            )

    def checked(self, model, compute_loss, *data):
        """Return `compute_loss(x, y, y_pred, sample_weight)`; raise a ValueError if the full batch cannot be exact."""
        if self.declared is not None:
            return compute_loss(*data)
        with observe_losses(model, [self._check_mask] if self._checked else [self._check_mask, self._check_loss]):
            total = compute_loss(*data)
        if not self._checked:
            self._check_layers(model)
        self._checked = True
        return total

    def check_was_computed(self, model):
        """Raise a ValueError if a step has been made whose loss was not checked."""
        if self.declared is None and not self._checked:
            raise self._inexact(f"the train_step of {type(model).__name__} does not call `compute_loss`")

    def _check_mask(self, loss, true, predicted):
        if any(mask_of(leaf) is not None for leaf in keras.tree.flatten(predicted)):
            self._refuse_mask(loss)

    def _check_loss(self, loss, true, predicted):
        true, predicted = (ops.convert_to_tensor(leaf, dtype=loss.dtype) for leaf in (true, predicted))
        if not _is_for_each_sample(loss, true, predicted):
            raise self._inexact(f"the loss '{loss.name}' does not return a value for each sample")
        if _depends_on_the_batch(loss, true, predicted):
            raise self._inexact(f"the value of the loss '{loss.name}' for a sample depends on the rest of the batch")
        with keras.StatelessScope():  # a loss may have variables, which this call must not change
            mask = mask_of(loss.call(true, predicted))
        if mask is not None:
            self._refuse_mask(loss)

    def _refuse_mask(self, loss):
        if self.kind == "mean_with_sample_weight":
            raise ValueError(
                f"{self.owner}: the loss '{loss.name}' is masked, and divides by the weights of what is not masked. "
                "Give sample weights that are 0 wherever the mask is, and say so: "
                f"{self.owner}(reduction='mean_with_sample_weight')."
            )
        if self.kind != "sum":
            raise ValueError(
                f"{self.owner}: the loss '{loss.name}' is masked (by a Masking or Embedding layer or `ignore_class`), "
                "and the mean over a micro-batch then divides by the number of unmasked values in it. Use a loss with "
                "reduction='sum', or one with reduction='mean_with_sample_weight', the mask as sample_weight and "
                "FullBatch(reduction='mean_with_sample_weight')."
            )

    def _check_layers(self, model):
        regularizers = sum(v.regularizer is not None for v in model.trainable_variables)
        if len(model.losses) > regularizers:
            raise self._inexact("a layer adds a loss of its own (`add_loss` or `activity_regularizer`)")

    def _kind_of(self, loss):
        if isinstance(loss, keras.losses.Circle) or getattr(loss, "fn", loss) in ("circle", keras.losses.circle):
            raise ValueError(
                f"{self.owner}: the Circle loss compares the samples of a batch with each other: micro-batches are not "
                f"exact for it. Train with one batch, without {self.owner}."
            )
        if not isinstance(loss, keras.losses.Loss):
            return "mean"  # Keras takes the mean of losses that are given as names or functions
        if type(loss).__call__ is not keras.losses.Loss.__call__:
            raise self._inexact(f"{type(loss).__name__} overrides `__call__`")
        return MEANS.get(loss.reduction, loss.reduction)

    def _inexact(self, what):
        return ValueError(
            f"{self.owner}: {what}, and nothing tells whether it is a mean or a sum over the batch. If you know, say "
            f"so: {self.owner}(reduction={' or '.join(map(repr, self.kinds))})."
        )


class _Call(keras.Operation):
    """A loss as an operation, whose output's shape Keras can infer."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def call(self, true, predicted):
        return self.loss.call(true, predicted)


def _is_for_each_sample(loss, true, predicted):
    """Whether the values of a loss, for a batch of unknown size, have the batch as their first axis and as no other."""
    unknown = (
        keras.KerasTensor((None, *t.shape[1:]), keras.backend.standardize_dtype(t.dtype)) for t in (true, predicted)
    )
    shape = _Call(loss)(*unknown).shape
    others_known = None not in (*true.shape[1:], *predicted.shape[1:])
    return len(shape) > 0 and shape[0] is None and not (others_known and None in shape[1:])


def _depends_on_the_batch(loss, true, predicted):
    """Whether a loss gives the first of three made-up samples another value if that sample is alone in the batch.

    False where this cannot be found out: if the loss fails for made-up samples, draws random numbers, or would take
    much memory.
    """
    shapes = [(3, *(size or 3 for size in tensor.shape[1:])) for tensor in (true, predicted)]
    if max(map(math.prod, shapes)) > LARGEST_PROBE:
        return False
    y = np.ones(shapes[0], "float32")
    y[0] = 0
    p = np.random.default_rng(0).uniform(0.2, 0.8, shapes[1]).astype("float32")
    backend = backend_module()
    before = backend.random_state()
    try:
        with backend.eager_scope(), keras.StatelessScope():
            whole, again, part = (_first_value(loss, y[:n], p[:n]) for n in (3, 3, 1))
    except Exception:  # a user's loss may raise any error for made-up samples
        return False
    finally:
        backend.set_random_state(before)
    return np.array_equal(whole, again, equal_nan=True) and not _is_close(whole, part)


def _first_value(loss, true, predicted):
    """The value of a loss for the first of some samples, an array."""
    true, predicted = (ops.convert_to_tensor(each, dtype=loss.dtype) for each in (true, predicted))
    return np.asarray(ops.convert_to_numpy(loss.call(true, predicted)), "float64")[0]


def _is_close(one, other):
    return np.allclose(one, other, rtol=1e-3, atol=1e-6, equal_nan=True)


def check_has_reduction(owner, model):
    """Raise a ValueError if a loss of a model has no reduction: then it is not one number, and has no gradient."""
    for loss in keras.tree.flatten(model.loss):
        if isinstance(loss, keras.losses.Loss) and loss.reduction in (None, "none"):
            raise ValueError(
                f"{owner}: the loss '{loss.name}' has no reduction. Give it reduction='sum_over_batch_size' or 'sum'."
            )


def repeated_regularization(model, is_first, dtype):
    """The losses of weight regularisers, which a sum over micro-batches repeats; 0 in the first micro-batch."""
    losses = [v.regularizer(v) for v in model.trainable_variables if v.regularizer is not None]
    if not losses:
        return ops.zeros((), dtype)
    total = ops.sum(ops.stack([ops.cast(ops.sum(loss), dtype) for loss in losses])) / replicas()
    return ops.where(is_first, ops.zeros_like(total), total)
