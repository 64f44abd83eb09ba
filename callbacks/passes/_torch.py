"""Many passes on torch: a loop over passes, and in it one over the batches, which stay on the device.

A training step of Keras costs more than the arithmetic of a small network. So the loss and its gradient are recorded
once, as the list of torch's own operations that they come to, and this list is carried out in all passes but the last.
That one is made by the model's own step, from which the logs are.

A model is trained by its own step in all passes where its loss cannot be recorded: random numbers, numbers that are
taken out of tensors, a `train_step` or an optimizer around ours, other callbacks that change the step.
"""

import keras
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from callbacks.loss import Loss, untrained_variables
from callbacks.passes.passes import Passes
from callbacks.passes.stacks import kind_of
from custom_optimizers.diagnostics import GIVE_UP_AFTER, number


class TorchPasses(Passes):
    """Many passes as a loop of Python over recorded operations."""

    def __init__(self, model, optimizer, *about):
        super().__init__(model, optimizer, *about)
        self._can_record = self._around_step is not None and _is_plain(model, optimizer)
        self._is_first = True  # whether no pass has been made, whose loss is looked at by the callback
        self._by_kind = {}  # what was recorded, by the shapes of a batch; None for what cannot be
        self._records = None  # what was recorded of each batch, a list; an empty one if one of them cannot be

    def __call__(self, data):
        batches = self.held(data[0])
        losses, norms, record = [], [], self._optimizer._record
        for i in range(self._count):
            skipped = 0 if record is None else number(record.skipped_in_a_row)
            if skipped >= GIVE_UP_AFTER:
                break
            is_last = i == self._count - 1 or skipped == GIVE_UP_AFTER - 1
            logs = self._one_pass(batches, by_own_step=is_last or self._is_first)
            self._is_first = False
            losses.append(logs["loss"])
            if record is not None:
                norms.append(record.gradient_norm.value.clone())
        found = {"loss": losses, "gradient_norm": norms}
        self._made, self._traced = len(losses), {name: torch.stack(each) for name, each in found.items() if each}
        return logs

    def hold(self, batches):
        self._records = None
        return [keras.tree.map_structure(keras.ops.convert_to_tensor, batch) for batch in batches]

    def _one_pass(self, batches, by_own_step):
        """Make a pass, and give its logs; those of a recorded one are its loss alone."""
        self._optimizer.begin_next_pass(len(batches))
        if by_own_step or not self._recorded(batches):
            self._model.reset_metrics()
            for batch in batches:
                logs = self._model.train_step(batch)
            return logs
        losses = [
            self._around_step(self._model, record, batch) for record, batch in zip(self._records, batches, strict=True)
        ]
        if len(losses) == 1:
            return {"loss": losses[0]}
        sizes = [len(keras.tree.flatten(batch)[0]) for batch in batches]
        return {"loss": sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)}

    def _recorded(self, batches):
        """What was recorded of each batch, which is done now if it was not; an empty list if one of them cannot be."""
        if self._records is None:
            found = [self._record_of(batch) for batch in batches] if self._can_record else [None]
            self._records = [] if None in found else found
        return self._records

    def _record_of(self, batch):
        kind = tuple(map(kind_of, keras.tree.flatten(batch)))
        if kind not in self._by_kind:
            graph = _graph_of(self._model, batch)
            self._by_kind[kind] = None if graph is None else _Step(self._model, self._optimizer, graph)
        return self._by_kind[kind]


class _Step:
    """A training step without metrics: it changes the weights, and gives the loss.

    Args:
        model, optimizer: that are trained.
        graph: what `_graph_of` gives.
    """

    def __init__(self, model, optimizer, graph):
        self._trained, self._untrained = model.trainable_variables, untrained_variables(model)
        self._optimizer, self._graph = optimizer, graph

    @torch.no_grad()
    def __call__(self, batch):
        values = [v.value for v in self._trained], [v.value for v in self._untrained]
        loss, after, gradients = self._graph(*values, batch)
        for variable, value in zip(self._untrained, after, strict=False):  # those of metrics are not in `after`
            variable.assign(value)
        self._optimizer.apply(gradients, self._trained)
        return loss


def _is_plain(model, optimizer):
    """Whether the step is that of Keras, without loss scaling, and not to be followed line by line."""
    has_own_step = type(model).train_step is not keras.Model.train_step
    return not has_own_step and optimizer is model.optimizer and not model.run_eagerly


def _graph_of(model, batch):
    """The loss of a batch and its gradient as a list of torch's operations; None if they cannot be recorded.

    Returns:
        Function from the values of the trained and the other variables and a batch of the same shapes to `(loss, values
        of the variables that are not trained, gradients)`.
    """

    def evaluate(weights, untrained, batch):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        with torch.enable_grad():
            leaves = [weight.detach().requires_grad_() for weight in weights]
            scaled, (loss, _, after) = Loss(model, untrained, x, y, sample_weight)(leaves)
            gradients = torch.autograd.grad(scaled, leaves, materialize_grads=True)
        after = [each.detach() for each in after[: len(model.non_trainable_variables)]]
        return loss.detach(), after, list(gradients)

    values = _values_of(model)
    try:
        with torch.random.fork_rng():
            graph = make_fx(evaluate)(*values, batch)
            _leave_out_detach(graph)
            with torch.no_grad():
                same = all(map(torch.equal, _leaves(graph(*values, batch)), _leaves(evaluate(*values, batch))))
    except Exception:  # whatever stands in the way of recording a user's model
        return None
    return graph if same else None


def _leave_out_detach(graph):
    """Take out operations that only say that nothing is recorded: where the list is carried out, nothing is."""
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _leaves(found):
    return keras.tree.flatten(found)


def _values_of(model):
    """The values of the trained variables, and of the others; tensors that record no operations."""
    trained = [variable.value.detach() for variable in model.trainable_variables]
    return trained, [variable.value.detach() for variable in untrained_variables(model)]
