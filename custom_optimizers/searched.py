import math

import keras
import numpy as np
from keras import ops

from custom_optimizers.clipping.norms import global_norm
from custom_optimizers.descent import Descent
from custom_optimizers.diagnostics import number
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.minimizer import REASONS, Minimizer


class Searched(Descent):
    """Base class of optimizers that look for a step along a direction, by the exact loss and gradient.

    ```python
    w = point + t * d                                # a pass begins: where the loss is looked at
    loss, g = mean over all micro-batches            # one evaluation
    t, accepted = line_search(loss, g @ d)
    if accepted: point, d = w, direction(g)          # an update: `iterations` counts these
    w = point                                        # a pass ends
    ```

    An evaluation is a pass over all samples, whether or not its point is accepted. Between passes the weights are those
    that were accepted last: they are validated, saved and returned.

    The step is what the search finds. So there is no learning rate, schedule or multiplier; no clipping, since the
    search bounds the step, and a clipped gradient is not that of the loss; no weight decay beside the loss: give layers
    `kernel_regularizer`, which is a part of it.

    Args:
        direction: `custom_optimizers.directions.Direction`.
        line_search: `custom_optimizers.line_search.LineSearch`.
        diagnostics: bool, whether norms of gradients are recorded: those of the last evaluation.
        name: str or None.
    """

    needs_loss = True

    def __init__(self, direction, line_search, *, diagnostics=False, name=None, **kwargs):
        super().__init__(1.0, diagnostics=diagnostics, name=name, **kwargs)
        self.direction, self.line_search = direction, line_search
        self._minimizer = self._search = None

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        size = sum(math.prod(variable.shape) for variable in self._trainable_variables)
        self._minimizer = Minimizer(self.direction, self.line_search, size, wide_dtype(*self._trainable_variables))
        self._search = {
            name: self.add_variable(value.shape, dtype=str(value.dtype), name=name)
            for name, value in self._minimizer.initial_state(np.zeros(size)).items()
        }

    def next_weights(self, weights, state):
        """Where the loss is looked at next: a list of tensors; the weights themselves before the first evaluation.

        Args:
            weights: list of tensors.
            state: dict of tensors, of `search_state`.
        """
        following = self._split(self._minimizer.next_point(state), weights)
        is_first = ops.equal(state["evaluations"], 0)
        return [ops.where(is_first, weight, new) for weight, new in zip(weights, following, strict=True)]

    def search_state(self):
        """The state of the search, a dict of tensors."""
        return {name: ops.convert_to_tensor(variable) for name, variable in self._search.items()}

    def evaluated(self, variables, gradients, loss):
        """Make an update, or the next step of the search, after an evaluation.

        Args:
            variables: list of the variables that have gradients.
            gradients: `ScaledGradients` of them.
            loss: scalar tensor.
        """
        before, every = self.search_state(), self._trainable_variables
        is_first = ops.equal(before["evaluations"], 0)
        at = self._joined([variable.value for variable in every])
        given = dict(zip(map(self._get_variable_index, variables), gradients.multiplied_out(), strict=True))
        tensors = [given.get(i, ops.zeros(v.shape, v.dtype)) for i, v in enumerate(every)]
        before["point"] = ops.where(is_first, at, before["point"])
        after = self._minimizer.next(before, loss, self._joined(tensors))
        made = after["accepted"] - before["accepted"]  # here, since on torch `before` are the variables themselves
        for name, variable in self._search.items():
            variable.assign(after[name])
        for variable, value in zip(every, self._split(after["point"], every), strict=True):
            variable.assign(value)
        self._iterations.assign_add(ops.cast(made, self._iterations.dtype))
        if self.diagnostics:
            self._write_record(gradients, after["gradient"])

    def _write_record(self, gradients, gradient):
        record, norm = self._record, ops.cast(global_norm([gradient]), "float32")
        record.gradient_norm.assign(norm)
        record.clipped_norm.assign(norm)
        record.variable_norms.assign(ops.stack(gradients.norms()))

    def begin_search(self):
        """Begin anew if the weights are not those that the search has left; called when a `fit` begins."""
        if not self.built or not number(self._search["evaluations"]):
            return
        here = self._joined([ops.convert_to_tensor(variable) for variable in self._trainable_variables])
        if not np.array_equal(*map(ops.convert_to_numpy, (here, self._search["point"]))):
            for variable in self._search.values():
                variable.assign(ops.zeros(variable.shape, variable.dtype))

    def read_search(self):
        """What has become of the search: a dict of `loss` at the accepted point, `evaluations`, `step_size`, `reason`.

        `reason` is None while it goes on, else a sentence. Empty before the first evaluation.
        """
        if not self.built or not number(self._search["evaluations"]):
            return {}
        dtype = keras.backend.standardize_dtype(self._search["point"].dtype)
        reason = REASONS.get(number(self._search["reason"]))
        return {
            "loss": number(self._search["value"]),
            "evaluations": number(self._search["evaluations"]),
            "step_size": number(self._search["step_size"]),
            "reason": None if reason is None else reason.format(dtype=dtype),
        }

    def _joined(self, tensors):
        """Tensors as one vector, in the dtype of the search."""
        dtype = self._search["point"].dtype
        return ops.concatenate([ops.reshape(ops.cast(self._backend.dense(t), dtype), (-1,)) for t in tensors])

    def _split(self, vector, like):
        """A vector as tensors of the shapes and dtypes of others."""
        parts, start = [], 0
        for each in like:
            size = math.prod(each.shape)
            part = ops.reshape(vector[start : start + size], tuple(each.shape))
            parts.append(ops.cast(part, keras.backend.standardize_dtype(each.dtype)))
            start += size
        return parts

    def get_config(self):
        return {
            "name": self.name,
            "diagnostics": self.diagnostics,
            "line_search": keras.saving.serialize_keras_object(self.line_search),
        }
