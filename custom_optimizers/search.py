import contextlib
import math

import keras
import numpy as np
from keras import ops

from custom_optimizers.clipping.norms import norms, unconditional_norm
from custom_optimizers.diagnostics import number
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.either import cast, joined, reshape
from custom_optimizers.minimizer import NEEDED, NO_DECREASE, REASONS, RUNS, Minimizer

INSTEAD = {  # of the arguments that a search leaves no place for
    "weight_decay": "give layers `kernel_regularizer`, which is a part of the loss",
    "clipping": "the search bounds the step, and a clipped gradient is not that of the loss",
    "use_ema": "the loss is lowest at the weights themselves",
    "loss_scale_factor": "it goes by the loss as it is, in float32, float64 or mixed_bfloat16",
    "gradient_accumulation_steps": "`callbacks.FullBatch()` makes each pass over the data an evaluation",
    "momentum": "the search is along the gradient; LBFGS remembers steps",
    "learning_rate": "the search finds the step",
}
SIGNED = 1 << 31  # from there on 32 bits are negative numbers
SAME = {"nesterov": "momentum", "velocity": "momentum"}
SAME |= {"clipnorm": "clipping", "clipvalue": "clipping", "global_clipnorm": "clipping", "ema_momentum": "use_ema"}
SAME |= {"exclude_from_weight_decay": "weight_decay", "learning_rate_multipliers": "learning_rate"}


def refuse_beside_search(owner, given):
    """Raise a ValueError for arguments of an optimizer that would have no effect beside a search.

    Args:
        owner: str, whose arguments they are.
        given: dict of arguments; those that are None, False or 0 are not given, but for a learning rate.
    """
    for argument, value in given.items():
        reason = INSTEAD.get(SAME.get(argument, argument))
        if reason and (value or argument == "learning_rate"):
            raise ValueError(f"{owner} has no `{argument}`: {reason}.")


class Search:
    """What an optimizer does that looks for its step along a direction, by the exact loss and gradient.

    ```python
    w = point + t * d                                # a pass begins: where the loss is looked at
    loss, g = mean over all micro-batches            # one evaluation
    t, accepted = line_search(loss, g @ d)
    if accepted: point, d = w, direction(g)          # an update: `iterations` counts these
    w = point                                        # a pass ends
    ```

    An evaluation is a pass over all samples, whether or not its point is accepted. Between passes the weights are those
    that were accepted last: they are validated, saved and returned.

    Args:
        optimizer: `Descent`, whose variables the state of the search becomes.
        direction: `custom_optimizers.directions.Direction`.
        line_search: `custom_optimizers.line_search.LineSearch`.
        first_step: float > 0, or None, as in `Minimizer`.
    """

    def __init__(self, optimizer, direction, line_search, first_step=None):
        self._optimizer, self.first_step = optimizer, first_step
        self.direction, self.line_search = direction, line_search
        self._minimizer = self._loss = self._data = self._shapes = self._known_phase = None
        self.variables = {}  # the state by its names
        self.phase = None  # `keras.Variable` that is 0 or 1, where updates are of two kinds

    def prepare(self, trained):
        """Raise a ValueError for variables that cannot be searched with; called before the optimizer is built.

        Args:
            trained: list of the variables.
        """
        self._optimizer._backend.check_dtypes(type(self._optimizer).__name__, trained)
        size, dtype = sum(math.prod(variable.shape) for variable in trained), wide_dtype(*trained)
        minimizer = Minimizer(self.direction, self.line_search, size, dtype, self.first_step)
        state = minimizer.initial_state(np.zeros(size))
        self._shapes = {name: (value.shape, str(value.dtype)) for name, value in state.items()}
        self._minimizer = minimizer

    def build(self):
        """Add the variables of the state; called when the optimizer is built."""
        self.variables = {
            name: self._optimizer.add_variable(shape, dtype=dtype, name=name)
            for name, (shape, dtype) in self._shapes.items()
        }
        self._data = self._optimizer.add_counter("data_of_search")  # which it is of; 0 where that is not known

    def state(self):
        """The state, a dict of tensors."""
        read = self._optimizer._backend.value_of
        return {name: read(variable) for name, variable in self.variables.items()}

    @contextlib.contextmanager
    def in_phase(self, phase):
        """Context in which `evaluated` makes the update of a phase, 0 or 1, without a look at the variable."""
        self._known_phase = phase
        try:
            yield
        finally:
            self._known_phase = None

    def next_weights(self, weights, state):
        """Where the loss is looked at next: a list of tensors; the weights themselves before the first evaluation.

        Args:
            weights: list of tensors.
            state: dict of tensors.
        """
        return list(self._optimizer._backend.of_few(self, "following", *(state[name] for name in NEEDED), *weights))

    def following(self, *values):
        """What `next_weights` does, of values that follow each other: those of the state, and the weights."""
        state, weights = dict(zip(NEEDED, values, strict=False)), values[len(NEEDED) :]
        return self._split(self._minimizer.next_point(state, self._joined(weights, state["point"])), weights)

    def evaluated(self, variables, gradients, loss):
        """Make an update, or the next step of the search, after an evaluation.

        Args:
            variables: list of the variables that have gradients.
            gradients: `ScaledGradients` of them.
            loss: scalar tensor.
        """
        optimizer, backend = self._optimizer, self._optimizer._backend
        every, before = optimizer._trainable_variables, self.state()
        places = map(optimizer._get_variable_index, variables)
        given = dict(zip(places, map(backend.dense, gradients.multiplied_out()), strict=True))
        tensors = [given.get(i, ops.zeros(v.shape, v.dtype)) for i, v in enumerate(every)]
        weights = [backend.value_of(variable) for variable in every]
        whole = [list(before).index(f"direction_{name}") for name in self.direction.matrices]
        found = backend.of_few(self, "after", *before.values(), loss, *tensors, *weights, whole=whole)
        state, made, weights = found[: len(before)], found[len(before)], found[len(before) + 1 :]
        for (name, variable), value in zip(self.variables.items(), state, strict=True):
            if value is not before[name]:
                variable.assign(value)
        for variable, value in zip(every, weights, strict=True):
            variable.assign(value)
        optimizer._iterations.assign_add(ops.cast(made, optimizer._iterations.dtype))
        if optimizer.diagnostics:
            self._write_record(state[list(before).index("gradient")])

    def after(self, *values):
        """What `evaluated` does, of values that follow each other: a tuple of them.

        Args:
            values: those of the state; the loss; for each variable its gradient; and their weights.

        Returns:
            Those of the state, the number of updates that were made, and the weights.
        """
        (*known, loss), rest = values[: len(self.variables) + 1], values[len(self.variables) + 1 :]
        gradients, weights = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        before = dict(zip(self.variables, known, strict=True))
        updates = self._minimizer.updates(before["counts"])
        gradient, here = (self._joined(each, before["point"]) for each in (gradients, weights))
        after = self._minimizer.next(before, loss, gradient, here)
        made = self._minimizer.updates(after["counts"]) - updates
        return *(after[name] for name in self.variables), made, *self._split(after["point"], weights)

    def _write_record(self, gradient):
        """Record the norms of the gradient at the accepted point."""
        record, norm = self._optimizer._record, ops.cast(unconditional_norm([gradient]), "float32")
        record.gradient_norm.assign(norm)
        record.clipped_norm.assign(norm)
        record.variable_norms.assign(ops.stack(norms(self._split(gradient, self._optimizer._trainable_variables))))

    def is_of(self, variables):
        """Whether these are the weights that it moves; True before the optimizer is built."""
        trained = self._optimizer._trainable_variables
        return self._minimizer is None or {id(each) for each in trained} == {id(each) for each in variables}

    def begin(self, loss=None, data=None):
        """Begin anew where the search cannot go on; called when a `fit` begins.

        It goes on with the same function from the weights that it has left, unless it has ended. A pass that was
        interrupted has left the weights that were tried: then those that were accepted last are put back.

        Args:
            loss: what tells the loss from others in this process, compared by `==`; None if nothing does.
            data: int, what tells the data from others, which is saved; None if nothing does.
        """
        is_other = self._becomes_another(loss, data)
        if not self._is_under_way():
            return
        has_ended = bool(ops.convert_to_numpy(self.has_ended(self.state()["counts"])))
        here, accepted, tried = map(self._as_array, self._known_weights())
        is_accepted, is_tried = (np.array_equal(here, known) for known in (accepted, tried))
        if is_tried and not is_accepted:
            self.put_back()
        if is_other or has_ended or not (is_accepted or is_tried):
            for variable in self.variables.values():
                variable.assign(ops.zeros(variable.shape, variable.dtype))

    def _becomes_another(self, loss, data):
        """Whether the function that is minimised is another one than before, as far as is known, a bool."""
        before, self._loss = self._loss, loss
        is_other = None not in (before, loss) and before != loss
        if self._data is not None:
            known, given = number(self._data), 0 if data is None else (data - SIGNED) % (2 * SIGNED) - SIGNED
            is_other = is_other or (0 not in (known, given) and known != given)
            self._data.assign(given)
        return is_other

    def put_back(self):
        """Give the weights the values that were accepted last, where a pass has ended without an evaluation."""
        if self._is_under_way():
            (_, accepted, _), trained = self._known_weights(), self._optimizer._trainable_variables
            for variable, value in zip(trained, accepted, strict=True):
                variable.assign(value)
            self._optimizer._backend.unalias(trained)  # from the point, if there is one variable alone

    def _known_weights(self):
        """The weights that the model has, that were accepted last, and that are tried next: lists of tensors."""
        trained = self._optimizer._trainable_variables
        weights = [ops.stop_gradient(ops.convert_to_tensor(variable)) for variable in trained]
        accepted = self._split(ops.convert_to_tensor(self.variables["point"]), weights)
        return weights, accepted, self.next_weights(weights, self.state())

    def _as_array(self, tensors):
        return np.concatenate([np.ravel(ops.convert_to_numpy(each)) for each in tensors])

    def read(self):
        """What has become of the search, a dict; empty before the first evaluation.

        It has the `loss` at the point that was accepted last, the number of `evaluations`, how many of them were
        `accepted` and made an update, the last `step_size`, and `reason`: None while it goes on, else a sentence.
        """
        if not self._is_under_way():
            return {}
        found = {name: number(value) for name, value in self._minimizer.read(self.state()).items()}
        return {
            "loss": found["value"],
            **{"evaluations": found["evaluations"], "accepted": found["updates"], "step_size": found["step_size"]},
            "reason": self._sentence(found["reason"]),
        }

    def _sentence(self, reason):
        """Why the search has ended, by the number that stands for it in the state; None while it goes on."""
        if reason == RUNS:
            return None
        dtype = keras.backend.standardize_dtype(self.variables["point"].dtype)
        sentence = self.line_search.failure if reason == NO_DECREASE else REASONS[reason]
        return sentence.format(dtype=dtype, stalls_after=self.line_search.stalls_after)

    def has_ended(self, counts):
        """Whether there is a reason why it ended, a scalar bool tensor; `counts` is that entry of the state."""
        return self._minimizer.has_ended(counts)

    def _is_under_way(self):
        return self._minimizer is not None and number(self._minimizer.read(self.state())["evaluations"]) > 0

    def _joined(self, tensors, like):
        """Tensors as one vector, in the dtype of another one."""
        return joined([cast(reshape(each, (-1,)), like) for each in tensors])

    def _split(self, vector, like):
        """A vector as tensors of the shapes and dtypes of others."""
        parts, start = [], 0
        for each in like:
            size = math.prod(each.shape)
            parts.append(cast(reshape(vector[start : start + size], tuple(each.shape)), each))
            start += size
        return parts
