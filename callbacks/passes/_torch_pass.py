import functools

import keras
import torch

from callbacks.loss import Loss, untrained_variables
from callbacks.passes._torch_recording import recorded
from callbacks.passes.stacks import kind_of
from custom_optimizers.update import mean_factor, update

MOST_ENTRIES = 1 << 22  # of all weights; what surrounds the arithmetic of a larger model takes no time beside it
RATES = (keras.Variable, keras.optimizers.schedules.LearningRateSchedule)  # learning rates that can be recorded


class RecordedPass:
    """A pass of Keras's training step without its metrics, as recorded operations: it changes the weights.

    Args:
        model: compiled and built `keras.Model`, of whose training step nothing is changed but what `counts` says.
        optimizer: `Descent` of the model, which makes one update a pass.
        counts: function from a batch, and whether it is the first of its pass, to `(weight, divisor)`, as
            `Windowed.micro_batch` takes them.
    """

    def __init__(self, model, optimizer, counts):
        self._model, self._optimizer, self._counts = model, optimizer, counts
        self._trained, self._untrained = model.trainable_variables, untrained_variables(model)
        self._by_kind = {}  # what was recorded, by the shapes of a batch; None for what cannot be
        self._update = _Update(optimizer, self._trained)
        self._parts = self._values = self._factor = None

    def prepare(self, batches):
        """Record what the following passes are to do with these batches; called before the passes of an epoch.

        Returns:
            bool, whether it can be.
        """
        graphs = [self._graph_of(batch) for batch in batches]
        if None in graphs:
            return False
        counts = [self._counts(batch, i == 0) for i, batch in enumerate(batches)]
        self._parts = [
            (graph, _tensors(batch), weight) for graph, batch, (weight, _) in zip(graphs, batches, counts, strict=True)
        ]
        self._values = _values(self._trained), _values(self._untrained)
        self._update.prepare()
        self._factor = None
        if not self._optimizer.takes_batches_whole:
            divisor = torch.zeros_like(self._optimizer._window.divisor.value)
            for _, each in counts:
                divisor.add_(each)
            self._factor = mean_factor(divisor)
        sizes = torch.tensor([float(len(leaves[0])) for _, leaves, _ in self._parts])
        self._shares = sizes / sizes.sum()
        return True

    @torch.no_grad()
    def __call__(self):
        """Make the pass, and give its loss, as Keras logs it."""
        losses, (weights, untrained) = [], self._values
        sums = None if self._factor is None else [self._optimizer._window.sum_of(v).value for v in self._trained]
        for graph, batch, weight in self._parts:
            loss, *found = graph(*weights, *untrained, *batch)
            gradients, after = found[: len(weights)], found[len(weights) :]
            losses.append(loss)
            _write(untrained, after)
            if sums is not None:
                self._optimizer._backend.add_weighted(sums, gradients, weight)
        self._update(gradients if sums is None else sums, self._factor)
        if sums is None:
            return loss
        torch._foreach_zero_(sums)
        return torch.stack(losses) @ self._shares.to(loss)

    def _graph_of(self, batch):
        kind = tuple(map(kind_of, keras.tree.flatten(batch)))
        if kind not in self._by_kind:
            self._by_kind[kind] = self._recorded(batch)
        return self._by_kind[kind]

    def _recorded(self, batch):
        """What is done with a batch of these shapes; None if it cannot be recorded."""
        values = [each.detach() for each in (*_values(self._trained), *_values(self._untrained), *_tensors(batch))]
        evaluate = functools.partial(self._evaluate, batch)
        try:
            graph = recorded(evaluate, *values)
            with torch.no_grad():
                same = all(map(torch.equal, graph(*values), evaluate(*values)))
        except Exception:  # whatever stands in the way of recording a user's model
            return None
        return graph.forward if same else None

    def _evaluate(self, like, *values):
        """The loss, its gradient, and the values of the variables that are not trained, a list.

        Args:
            like: batch, of whose structure the last of `values` are.
            values: of the trained variables, of the others, and of the batch.
        """
        weights, rest = values[: len(self._trained)], values[len(self._trained) :]
        untrained, leaves = list(rest[: len(self._untrained)]), rest[len(self._untrained) :]
        batch = keras.tree.pack_sequence_as(like, leaves)
        with torch.enable_grad():
            points = [weight.detach().requires_grad_() for weight in weights]
            data = keras.utils.unpack_x_y_sample_weight(batch)
            scaled, (loss, _, after) = Loss(self._model, untrained, *data)(points)
            gradients = torch.autograd.grad(scaled, points, materialize_grads=True)
        after = after[: len(self._model.non_trainable_variables)]  # the others are of metrics
        return [loss.detach(), *gradients, *(each.detach() for each in after)]


class _Update:
    """The update of a full batch: recorded, where that gives the same bits as the optimizer's own.

    Args:
        optimizer: built `Descent`.
        trained: list of the variables that it changes.
    """

    def __init__(self, optimizer, trained):
        self._optimizer, self._trained = optimizer, trained
        late = {id(variable) for variable in optimizer.late_variables}
        self._variables = [*trained, *(v for v in optimizer.variables if id(v) not in late)]
        self._graph, self._is_tried = None, False
        self._values = None  # of the variables

    def prepare(self):
        """Look the variables' tensors up; called before the passes of an epoch."""
        self._values = _values(self._variables)

    def __call__(self, gradients, factor):
        """Change the variables.

        Args:
            gradients: list of tensors.
            factor: scalar tensor that they are to be multiplied by, or None.
        """
        if not self._is_tried:
            self._is_tried = True
            self._try(gradients, factor)
        elif self._graph is None:
            update(self._optimizer, self._trained, gradients, factor)
        else:
            _write(self._values, self._graph(*self._values, *gradients, *_optional(factor)))

    def _try(self, gradients, factor):
        """Change the variables by the optimizer's own update, and record it if what is recorded does the same."""
        values = [each.detach().clone() for each in self._values]
        given = (*gradients, *_optional(factor))
        graph = self._recorded(values, given)
        update(self._optimizer, self._trained, gradients, factor)
        if graph is not None:
            _write(values, graph(*values, *given))
            if all(map(torch.equal, values, self._values)):
                self._graph = graph.forward

    def _recorded(self, values, given):
        if not isinstance(self._optimizer._learning_rate, RATES):
            return None  # a function of the user, who may have it return something else each time
        copies = [value.clone() for value in values]  # recording carries the update out
        try:
            return recorded(self._updated, *copies, *given)
        except Exception:  # such as that the update depends on the gradient's norm
            return None

    def _updated(self, *arguments):
        """The values of the variables after an update, a list; some of those given are changed."""
        values, given = arguments[: len(self._variables)], arguments[len(self._variables) :]
        gradients, (factor,) = given[: len(self._trained)], given[len(self._trained) :] or (None,)
        with keras.StatelessScope(list(zip(self._variables, values, strict=True))) as scope:
            update(self._optimizer, self._trained, list(gradients), factor)
        return [scope.get_current_value(variable) for variable in self._variables]


def can_be_recorded(model, optimizer):
    """Whether the step is that of Keras without loss scaling, not to be followed line by line, of a small model."""
    own_step = type(model).train_step is not keras.Model.train_step
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    return not own_step and alone and optimizer is model.optimizer and not model.run_eagerly and _is_small(model)


def _is_small(model):
    return sum(variable.value.numel() for variable in model.trainable_variables) <= MOST_ENTRIES


def _tensors(batch):
    """The tensors of a batch, without the places where there is none."""
    return [leaf for leaf in keras.tree.flatten(batch) if leaf is not None]


def _optional(value):
    return () if value is None else (value,)


def _values(variables):
    return [variable.value for variable in variables]


def _write(values, after):
    """Give tensors the values of others, where these are not the same ones; there may be fewer of them."""
    for value, new in zip(values, after, strict=False):
        if new is not value:
            value.copy_(new)
