import contextlib
import functools
import itertools

import keras
import torch

from callbacks.loss import Loss, untrained_variables
from callbacks.passes._torch_recording import NotRecordable, recorded
from callbacks.passes.stacks import kind_of
from callbacks.step_of_fit import own_of_instance
from custom_optimizers import Descent
from custom_optimizers.update import mean_factor, update

MOST_ENTRIES = 1 << 22  # of all weights; what surrounds the arithmetic of a larger model takes no time beside it
RATES = (keras.Variable, keras.optimizers.schedules.LearningRateSchedule)  # learning rates that can be recorded
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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
        self._trained = list(model.trainable_variables)
        self._untrained = list(model.non_trainable_variables)  # those of metrics are left to the own step
        self._state_of_optimizer = _own_variables(optimizer, self._trained)
        self._by_kind = {}  # what was recorded, by the shapes of a batch; None for what cannot be
        self._update = _Update(optimizer, self._trained, self._state_of_optimizer)
        self._parts = self._values = self._factor = None

    def is_of(self, model, optimizer):
        """Whether the variables are still those that were recorded; a callback may have frozen a layer."""
        pairs = itertools.zip_longest(
            [*self._trained, *self._untrained, *self._state_of_optimizer],
            [
                *model.trainable_variables,
                *model.non_trainable_variables,
                *_own_variables(optimizer, model.trainable_variables),
            ],
        )
        return all(one is other for one, other in pairs)

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
        self._values = [_values(each) for each in (self._trained, self._untrained, self._state_of_optimizer)]
        self._factor = None
        if not self._optimizer.takes_batches_whole:
            divisor = torch.zeros_like(self._optimizer._window.divisor.value)
            for _, each in counts:
                divisor.add_(each)
            self._factor = mean_factor(divisor)
        self._update.prepare(self._values, self._factor, self._optimizer.needs_loss)
        sizes = torch.tensor([float(len(leaves[0])) for _, leaves, _ in self._parts])
        self._shares = sizes / sizes.sum()
        return True

    def state(self):
        """Copies of the values that a pass changes."""
        return [[value.detach().clone() for value in values] for values in self._values]

    @torch.no_grad()
    def does_the_same(self, before):
        """Whether what is recorded makes of a state what the variables have become, bit for bit; `before` is lost."""
        try:
            self._make(*before, in_place=False)
        except Exception:  # whatever is wrong with what was recorded
            return False
        pairs = zip(itertools.chain(*before), itertools.chain(*self._values), strict=True)
        return all(torch.equal(one, other) for one, other in pairs)

    @torch.no_grad()
    def __call__(self):
        """Make the pass, and give its loss, as Keras logs it."""
        return self._make(*self._values)

    def _make(self, weights, untrained, of_optimizer, in_place=True):
        """Make the pass: it changes these tensors, which are those of the variables if it is made `in_place`."""
        losses = []
        if self._optimizer.needs_loss:
            torch._foreach_copy_(weights, self._update.next_weights(weights, of_optimizer))
        sums = None if self._factor is None else [self._optimizer._window.sum_of(v).value for v in self._trained]
        for graph, batch, weight in self._parts:
            loss, *found = graph(*weights, *untrained, *batch)
            gradients, after = found[: len(weights)], found[len(weights) :]
            losses.append(loss)
            _write(untrained, after)
            if sums is not None:
                self._optimizer._backend.add_weighted(sums, gradients, weight)
        given = gradients if sums is None else sums, self._factor, self._loss_of(losses)
        self._update(weights, of_optimizer, *given, in_place=in_place)
        if sums is None:
            return loss
        torch._foreach_zero_(sums)
        return torch.stack(losses) @ self._shares.to(loss)

    def _loss_of(self, losses):
        """The loss of the full batch, for an optimizer that needs it, else None."""
        if not self._optimizer.needs_loss:
            return None
        if self._factor is None:
            return losses[0]
        weighted = [loss * weight for loss, (_, _, weight) in zip(losses, self._parts, strict=True)]
        return sum(weighted) * self._factor

    def _graph_of(self, batch):
        kind = tuple(map(kind_of, keras.tree.flatten(batch)))
        if kind not in self._by_kind:
            self._by_kind[kind] = self._recorded(batch)
        return self._by_kind[kind]

    def _recorded(self, batch):
        """What is done with a batch of these shapes; None if it cannot be recorded."""
        values = [each.detach() for each in (*_values(self._trained), *_values(self._untrained), *_tensors(batch))]
        try:
            return recorded(functools.partial(self._evaluate, batch), *values).forward
        except Exception:  # whatever stands in the way of recording a user's model
            return None

    def _evaluate(self, like, *values):
        """The loss, its gradient, and the values of the variables that are not trained, a list.

        Args:
            like: batch, of whose structure the last of `values` are.
            values: of the trained variables, of the others, and of the batch.
        """
        weights, rest = values[: len(self._trained)], values[len(self._trained) :]
        untrained, leaves = list(rest[: len(self._untrained)]), iter(rest[len(self._untrained) :])
        batch = keras.tree.map_structure(lambda leaf: None if leaf is None else next(leaves), like)
        metrics = _values(untrained_variables(self._model)[len(untrained) :])
        with torch.enable_grad():
            points = [weight.detach().requires_grad_() for weight in weights]
            data = keras.utils.unpack_x_y_sample_weight(batch)
            scaled, (loss, _, after) = Loss(self._model, [*untrained, *metrics], *data)(points)
            gradients = torch.autograd.grad(scaled, points, allow_unused=True)
        if any(gradient is None for gradient in gradients):
            raise NotRecordable("a weight has no gradient, or a module of torch has it to itself")
        return [loss.detach(), *gradients, *(each.detach() for each in after[: len(untrained)])]


class _Update:
    """The update of a full batch, recorded where it can be.

    Args:
        optimizer: built `Descent`.
        trained: list of the variables that it changes.
        own: list of the variables of the optimizer that are not of accumulation or diagnostics.
    """

    def __init__(self, optimizer, trained, own):
        self._optimizer, self._trained, self._own = optimizer, trained, own
        self._graphs, self._graph_of_next = {}, None  # by the phase of a search
        self._is_tried = False
        self._has_factor = self._has_loss = False

    def prepare(self, values, factor, has_loss):
        """Record the update, once; called before the passes of an epoch.

        Args:
            values: lists of tensors, those of `trained`, of other variables, and of `own`.
            factor: scalar tensor that gradients are to be multiplied by, or None.
            has_loss: bool, whether the update goes by the loss too.
        """
        self._has_factor, self._has_loss = factor is not None, has_loss
        if self._is_tried:
            return
        self._is_tried = True
        weights, _, of_optimizer = values
        gradients = weights if factor is None else [self._optimizer._window.sum_of(v).value for v in self._trained]
        given = [torch.zeros_like(each) for each in gradients]
        copies = [each.detach().clone() for each in (*weights, *of_optimizer)]  # recording carries the update out
        if isinstance(self._optimizer._learning_rate, RATES):  # not a function of the user, who may change what it does
            with torch.no_grad():
                loss = torch.zeros_like(weights[0].sum()) if has_loss else None
                given = *copies, *given, *_optional(factor, loss)
                if has_loss:
                    self._graph_of_next = _recorded_or_none(self._next, *copies)
                for phase in (None,) if self._phase is None else (0, 1):
                    with self._in_phase(phase):
                        self._graphs[phase] = _recorded_or_none(self._updated, *given)

    def next_weights(self, weights, of_optimizer):
        """Where an optimizer with a search looks at the loss next: a list of tensors."""
        return (self._graph_of_next or self._next)(*weights, *of_optimizer)

    def _next(self, *values):
        weights, own = values[: len(self._trained)], values[len(self._trained) :]
        own = dict(zip(map(id, self._own), own, strict=True))
        search = self._optimizer.search
        return search.next_weights(weights, {name: own[id(v)] for name, v in search.variables.items()})

    def __call__(self, weights, of_optimizer, gradients, factor, loss, in_place):
        """Change tensors, which are those of the variables if the update is made `in_place`.

        Args:
            weights, of_optimizer: lists of tensors.
            gradients: list of tensors.
            factor: scalar tensor that they are to be multiplied by, or None.
            loss: scalar tensor, or None.
        """
        values, graph = [*weights, *of_optimizer], self._graph_of(of_optimizer, loss)
        if in_place and graph is None:
            update(self._optimizer, self._trained, gradients, factor, loss=loss)
            return
        _write(values, (graph or self._updated)(*values, *gradients, *_optional(factor, loss)))

    @property
    def _phase(self):
        """The variable that says which of two kinds an update is of; None where there is one kind."""
        return None if self._optimizer.search is None else self._optimizer.search.phase

    def _in_phase(self, phase):
        return contextlib.nullcontext() if phase is None else self._optimizer.search.in_phase(phase)

    def _graph_of(self, of_optimizer, loss):
        """What is recorded of the update that is due; None if nothing is."""
        if self._phase is None:
            return self._graphs.get(None)
        place = next(i for i, variable in enumerate(self._own) if variable is self._phase)
        is_over = of_optimizer[place].bool() | ~loss.isfinite()
        return self._graphs.get(int(is_over))  # asks the device, once in a pass

    def _updated(self, *arguments):
        """The values of the variables after an update, a list; some of those given are changed."""
        variables = [*self._trained, *self._own]
        values, given = arguments[: len(variables)], arguments[len(variables) :]
        gradients, scalars = given[: len(self._trained)], list(given[len(self._trained) :])
        factor = scalars.pop(0) if self._has_factor else None
        loss = scalars.pop(0) if self._has_loss else None
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            update(self._optimizer, self._trained, list(gradients), factor, loss=loss)
        return [scope.get_current_value(variable) for variable in variables]


def can_be_recorded(model, optimizer):
    """Whether the step is that of Keras without loss scaling, of a small model that torch knows nothing more about."""
    own_step = type(model).train_step is not keras.Model.train_step or own_of_instance(model, "train_step") is not None
    own_apply = type(optimizer).apply is not Descent.apply
    alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
    is_ours = alone and optimizer is model.optimizer and optimizer.built and model.built
    return is_ours and not (own_step or own_apply or model.run_eagerly) and _is_small(model) and _is_plain(model)


def _is_small(model):
    return sum(variable.value.numel() for variable in model.trainable_variables) <= MOST_ENTRIES


def _is_plain(model):
    """Whether the model has nothing of torch beside the variables of Keras: no modules with a state, and no hooks."""
    known = {id(variable.value) for variable in model.variables}
    tensors = [*model.parameters(), *model.buffers()]
    hooked = any(getattr(module, name, None) for module in model.modules() for name in HOOKS)
    hooked = hooked or any(each._backward_hooks or each._post_accumulate_grad_hooks for each in tensors)
    return not hooked and all(id(each) in known for each in tensors)


def _own_variables(optimizer, trained):
    """The variables of an optimizer that its updates change, without those of accumulation.

    Those of diagnostics are among them with a search only: the updates of others, with a condition, are not recorded
    then, and write them by themselves.
    """
    others = {id(variable) for variable in (*trained, *optimizer.late_variables)}
    if optimizer.search is not None and optimizer._record is not None:
        others -= {id(variable) for variable in optimizer._record.variables}
    return [variable for variable in optimizer.variables if id(variable) not in others]


def _recorded_or_none(function, *values):
    try:
        return recorded(function, *values).forward
    except Exception:  # such as that the update depends on the gradient's norm
        return None


def _tensors(batch):
    """The tensors of a batch, without the places where there is none."""
    return [leaf for leaf in keras.tree.flatten(batch) if leaf is not None]


def _optional(*values):
    return tuple(value for value in values if value is not None)


def _values(variables):
    return [variable.value for variable in variables]


def _write(values, after):
    """Give tensors the values of others, where these are not the same ones."""
    changed = [(value, new) for value, new in zip(values, after, strict=True) if new is not value]
    if changed:
        torch._foreach_copy_(*map(list, zip(*changed, strict=True)))
