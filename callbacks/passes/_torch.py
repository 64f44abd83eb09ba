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
from custom_optimizers.diagnostics import GIVE_UP_AFTER, number


class Passes:
    """A train function of `fit` that makes many passes, each with its update, in one call.

    Args:
        model: compiled `keras.Model`.
        optimizer: `Descent` of the model, which makes one update a pass.
        count: int, the number of passes.
        prepare: function that is called before the passes with the number of micro-batches in each.
        around_step: `around_step` of the callback; None where others change the step too.
    """

    def __init__(self, model, optimizer, count, prepare, around_step):
        self._model, self._optimizer, self._count, self._prepare = model, optimizer, count, prepare
        self._around_step = around_step if _is_plain(model, optimizer) else None
        self._kept, self._batches, self._graphs = None, None, {}
        self._is_first = True  # whether no pass has been made, whose loss is looked at by the callback
        self.trace = {}  # of the passes of the last call: `loss` and `gradient_norm`, arrays

    def __call__(self, data):
        batches = data[0].batches()
        if not batches:
            raise StopIteration
        if batches is not self._kept:
            self._kept, self._batches = batches, keras.tree.map_structure(keras.ops.convert_to_tensor, batches)
        self._prepare(len(batches))
        losses, norms, record = [], [], self._optimizer._record
        for i in range(self._count):
            skipped = 0 if record is None else number(record.skipped_in_a_row)
            if skipped >= GIVE_UP_AFTER:
                break
            logs = self._one_pass(may_be_last=i == self._count - 1 or skipped == GIVE_UP_AFTER - 1)
            losses.append(logs["loss"])
            if record is not None:
                norms.append(record.gradient_norm.value.clone())
        found = {"loss": losses, "gradient_norm": norms}
        self.trace = {name: torch.stack(values).cpu().numpy() for name, values in found.items() if values}
        return logs

    def _one_pass(self, may_be_last):
        self._optimizer.begin_next_pass(len(self._batches))
        if may_be_last or self._is_first or not self._can_record():
            self._is_first = False
            self._model.reset_metrics()
            for batch in self._batches:
                logs = self._model.train_step(batch)
            return logs
        losses = [self._around_step(self._model, self._recorded_step, batch) for batch in self._batches]
        sizes = [len(keras.tree.flatten(batch)[0]) for batch in self._batches]
        return {"loss": sum(loss * size for loss, size in zip(losses, sizes, strict=True)) / sum(sizes)}

    def _can_record(self):
        """Whether the loss of all batches has been recorded, or can be."""
        if self._around_step is None:
            return False
        for batch in self._batches:
            kind = _kind_of(batch)
            if kind not in self._graphs:
                self._graphs[kind] = _recorded(self._model, batch)
        return None not in self._graphs.values()

    def _recorded_step(self, batch):
        """A training step without metrics: it changes the weights, and gives the loss."""
        model = self._model
        loss, after, gradients = self._graphs[_kind_of(batch)](*_values_of(model), batch)
        for variable, value in zip(model.non_trainable_variables, after, strict=True):
            variable.assign(value)
        with torch.no_grad():
            self._optimizer.apply(gradients, model.trainable_variables)
        return loss


def _is_plain(model, optimizer):
    """Whether the step is that of Keras, without loss scaling, and not to be followed line by line."""
    has_own_step = type(model).train_step is not keras.Model.train_step
    return not has_own_step and optimizer is model.optimizer and not model.run_eagerly


def _kind_of(batch):
    return tuple((tuple(leaf.shape), leaf.dtype) for leaf in keras.tree.flatten(batch))


def _recorded(model, batch):
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
    return torch.no_grad()(graph) if same else None


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
