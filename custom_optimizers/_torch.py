"""How a step is carried out on torch, operation by operation.

Where several processes train together, `DistributedDataParallel` reduces the gradients in `backward`, before they
arrive here.
"""

import contextlib
import weakref
from numbers import Real

import keras
import numpy as np
import torch
from keras import ops

from custom_optimizers.descent import Descent
from custom_optimizers.diagnostics import GIVE_UP_AFTER, divergence_message
from custom_optimizers.update import goes_with_rate, update, update_from_sums, write_one

ENTRIES_AT_ONCE = 1 << 16  # how many entries of tensors `_in_parts` puts into one list on a processor


def check_devices(owner):
    """Check nothing: every device that Keras trains on is supported."""


def check_dtypes(owner, variables):
    """Check nothing: here variables have the dtypes that they are given."""


def scope(optimizer):
    """Context in which variables of the optimizer have to be created. On torch any will do: this does nothing."""
    return contextlib.nullcontext()


def replica():
    """Number of the replica of this process: None, since there is only one."""
    return None


def replicas_in_sync():
    """How many replicas share a batch: one, since a process has one replica and a batch of its own."""
    return 1


def begin_step(optimizer, outer, arguments):
    """`(arguments, is_first)`: a training step's arguments, and whether its micro-batch is the first of its update."""
    is_whole = optimizer.takes_batches_whole or not optimizer.built
    is_first = True if is_whole else ops.equal(optimizer.micro_batches_summed, 0)
    if optimizer.needs_loss and optimizer.built and is_first:
        move(optimizer)
    return arguments, is_first


@torch.no_grad()
def move(optimizer):
    """Give the weights the values at which an optimizer with a search looks at the loss next."""
    weights = [variable.value for variable in optimizer._trainable_variables]
    torch._foreach_copy_(weights, optimizer.search.next_weights(weights, optimizer.search.state()))


def count_begun(optimizer, data=None):
    """Count a micro-batch that is about to be trained on, whether or not loss scaling will drop it."""
    optimizer._window.micro_batches_begun.assign_add(1)


@torch.no_grad()
def step(optimizer, grads, variables):
    """Use the gradients of one batch: add them to the sums, and make an update if one is due."""
    if optimizer.takes_batches_whole:
        optimizer.micro_batches.take(replica())  # once in a step
        update(optimizer, variables, grads, loss=optimizer.loss_of_micro_batch())
        return
    window = optimizer._window
    _accumulate(optimizer, grads, variables)
    window.micro_batches_summed.assign_add(1)
    if window.is_due(optimizer.steps_of_an_update()):
        _update_from_sums(optimizer, variables)


@torch.no_grad()
def finish_pass(optimizer):
    """Make the update from what has been accumulated."""
    _update_from_sums(optimizer, ())


def cond(optimizer, predicate, then, otherwise=lambda: None):
    """Call `then` if `predicate` holds, else `otherwise`. Both write variables."""
    if predicate:
        then()
    else:
        otherwise()


def value_and_gradients(function, values):
    """`((value, more), gradients)` of `function(values)`, which returns `(value, more)`."""
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in values]
        value, more = function(leaves)
        gradients = torch.autograd.grad(value, leaves, materialize_grads=True)
    more = keras.tree.map_structure(lambda each: each.detach() if torch.is_tensor(each) else each, more)
    return (value.detach(), more), list(gradients)


def hessian_product(function, values, vectors):
    """The product of vectors with the Hessian of a function as `value_and_gradients` takes it."""
    with torch.enable_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        leaves = [value.detach().requires_grad_() for value in values]
        value, _ = function(leaves)  # under MATH, since flash attention has no second derivative
        gradients = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
        product = sum((g * v).sum() for g, v in zip(gradients, vectors, strict=True))
        if not product.requires_grad:  # the loss is linear
            return [torch.zeros_like(value) for value in values]
        return list(torch.autograd.grad(product, leaves, materialize_grads=True))


def number_of_samples(owner, leaves):
    """The length of the first axis, which all tensors have in common: an int."""
    return int(leaves[0].shape[0])


def checked(value, conditions, message):
    """`value` itself: on torch shapes are always known, so conditions have been checked by then."""
    return value


def random_state():
    """The state of torch's own generators, from which Keras's Dropout draws if it has no seed."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    return torch.get_rng_state(), [torch.cuda.get_rng_state(device) for device in devices]


def set_random_state(state):
    """Set torch's own generators to a state."""
    of_processor, of_devices = state
    torch.set_rng_state(of_processor)
    for device, each in enumerate(of_devices):
        torch.cuda.set_rng_state(each, device)


@contextlib.contextmanager
def random_numbers_of(state):
    """Context in which torch's own generators begin at a state; after it they go on as if it had not been."""
    with torch.random.fork_rng(devices=range(len(state[1]))):
        set_random_state(state)
        yield


@contextlib.contextmanager
def eager_scope():
    """Context in which operations are carried out at once, as always on torch, and on the processor.

    There, a label that is out of range raises an error; on a GPU it makes CUDA unusable until the process ends.
    """
    with torch.no_grad(), keras.device("cpu"):
        yield


def compiled(function):
    """The function itself: torch carries it out operation by operation."""
    return function


def write(optimizer, variables, gradients, learning_rate, shared):
    """Change the variables by their gradients: where the rule is `arithmetic`, all variables of one kind at once."""
    if not optimizer.arithmetic or type(optimizer).update_step is not Descent.update_step:
        for variable, gradient in zip(variables, gradients.tensors, strict=True):
            write_one(optimizer, variable, gradient, gradients.factor, learning_rate, *shared)
        return
    kinds = {}
    for variable, gradient in zip(variables, gradients.tensors, strict=True):
        decoupled = optimizer.weight_decay_mode == "decoupled" and optimizer.decays(variable)
        decay = optimizer.weight_decay_of(variable) if decoupled else None
        kind = (variable.value.dtype, variable.value.device, optimizer.multiplier_of(variable), decay)
        kinds.setdefault(kind, []).append((variable, gradient))
    for (_, device, multiplier, decay), pairs in kinds.items():
        for part in _in_parts(pairs, device):
            _write_kind(optimizer, part, gradients.factor, learning_rate * multiplier, decay, shared)


def _in_parts(pairs, device):
    """Lists of pairs of a variable and its gradient; each list is computed with at once.

    An operation goes over a whole list before the next operation begins. On a processor that is faster only while a
    list stays in its cache: 60 tensors of 1,000 entries take a fifth less time, 20 of 500,000 half as much again.
    """
    if device.type != "cpu":
        return [pairs]
    parts, room = [], 0
    for variable, gradient in pairs:
        entries = variable.value.numel()
        if not parts or entries > room:
            parts.append([])
            room = ENTRIES_AT_ONCE
        parts[-1].append((variable, gradient))
        room -= entries
    return parts


def skip(optimizer):
    """Count a full batch whose gradient is not finite; raise a FloatingPointError if there are too many."""
    record = optimizer._record
    record.count_skipped()
    if not optimizer.is_watched and int(record.skipped_in_a_row.value) >= GIVE_UP_AFTER:
        raise FloatingPointError(divergence_message(optimizer, GIVE_UP_AFTER))


def unalias(variables):
    """Do nothing: on torch no two variables share memory."""


def dense(gradient):
    """A gradient as a dense tensor."""
    return gradient.to_dense() if gradient.layout != torch.strided else gradient


def static_value(tensor):
    """A tensor as a list: on torch its values are always known."""
    return tensor.tolist()


def sum_of_squares(tensor):
    """The sum of a tensor's squares, in one pass over memory.

    torch adds up a dot product in a single sum, which in float32 is wrong by 1e-3 after 50 million entries: so there is
    one dot product for each 65,536 entries.
    """
    parts = tensor.reshape(-1).split(1 << 16)
    return torch.stack([torch.dot(part, part) for part in parts]).sum()


def add_weighted(sums, gradients, weight):
    """Add the gradients of a micro-batch, times its weight, to tensors of the same shapes."""
    gradients = [dense(g).to(s.dtype) for g, s in zip(gradients, sums, strict=True)]
    if isinstance(weight, Real):
        torch._foreach_add_(sums, gradients, alpha=float(weight))
    else:
        torch._foreach_addcmul_(sums, gradients, [weight.to(s.dtype) for s in sums])


def dot(a, b):
    """The product of two vectors, or of a matrix and a vector; Keras makes float32 of float64 here.

    One of them may be NumPy's, within `of_few`; then the product is, too.
    """
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return torch.matmul(torch.as_tensor(a), torch.as_tensor(b)).numpy()
    return torch.matmul(a, b)


def value_of(variable):
    """The value of a variable, a tensor."""
    return variable.value


def of_few(owner, method, *values, whole=()):
    """What a method computes of a few numbers: a tuple of tensors.

    On a processor it computes with NumPy, as one operation: two hundred operations on tensors of one number take as
    long as a pass over 2,000 samples of a small network. It may change the arrays that it is given. On a GPU, and with
    more than `FEW` entries, it computes with tensors.

    Args:
        owner, method: an object, and the name of the method.
        values: tensors.
        whole: places in `values` of large matrices, which stay tensors and do not count: several threads compute with
            them, and those of NumPy and of torch would take turns in waiting for each other.
    """
    sizes = (value.numel() for i, value in enumerate(values) if i not in whole)
    if not all(map(_is_on_processor, values)) or sum(sizes) > FEW:
        return getattr(owner, method)(*values)
    OWNERS[id(owner)] = owner
    return tuple(torch.ops.custom_optimizers.of_few(values, list(whole), id(owner), method))


def _is_on_processor(value):
    return isinstance(value, torch.Tensor) and value.device.type == "cpu" and value.dtype != torch.bfloat16


def _of_few_on_processor(values, whole, owner, method):
    given = (value if i in whole else value.numpy()[()] for i, value in enumerate(values))
    with np.errstate(all="ignore"):
        found = getattr(OWNERS[owner], method)(*given)
    return [each if isinstance(each, torch.Tensor) else torch.from_numpy(np.asarray(each)) for each in found]


FEW = 1 << 18  # entries; more of them do not stay in a core's cache, and several cores read them sooner
OWNERS = weakref.WeakValueDictionary()  # by their `id`, the objects that `of_few` calls methods of
OPERATION = torch.library.Library("custom_optimizers", "DEF")
OPERATION.define("of_few(Tensor(a!)[] values, int[] whole, int owner, str method) -> Tensor[]")
OPERATION.impl("of_few", _of_few_on_processor, "CompositeExplicitAutograd")


def with_row(matrix, row, values, when):
    """A matrix with other values in one row where `when` holds: the same tensor, which is changed in place.

    All but the matrix may be NumPy's, within `of_few`.
    """
    if isinstance(values, np.ndarray):
        if when:
            matrix[int(row)] = torch.from_numpy(values)
        return matrix
    row = row.reshape(1).long()
    return matrix.index_copy_(0, row, torch.where(when, values, matrix.index_select(0, row)))


def added_if(when, matrix, scale, diagonal, mix, rows):
    """`scale * matrix + rows.T @ mix @ rows`, and a number added to its diagonal, where a condition holds.

    It is the same tensor, which is changed in place. All but the matrix and the rows may be NumPy's, within `of_few`:
    only then it is known whether anything is to be done.
    """
    if isinstance(when, torch.Tensor):
        instead = (scale, 1), (diagonal, 0), (mix, 0)
        scale, diagonal, mix = (torch.where(when, each, torch.full_like(each, other)) for each, other in instead)
        matrix.mul_(scale).addmm_(rows.T, mix @ rows)
        matrix.diagonal().add_(diagonal)
    elif when:
        matrix.addmm_(rows.T, torch.from_numpy(mix) @ rows, beta=float(scale))
        matrix.diagonal().add_(float(diagonal))
    return matrix


kernels = None  # none are needed: `_Foreach` computes with all variables at once


def _accumulate(optimizer, grads, variables):
    weight, divisor = optimizer.micro_batches.take(replica())
    window = optimizer._window
    sums = [window.sum_of(v).value for v in variables]
    add_weighted(sums, grads, weight)
    window.divisor.value.add_(divisor)
    if optimizer.needs_loss:
        window.loss.value.add_(optimizer.loss_of_micro_batch() * weight)
    counts = window.gradient_counts.value
    counts.add_(torch.as_tensor(window.one_for_each(variables), device=counts.device))


def _update_from_sums(optimizer, current):
    window = optimizer._window
    update_from_sums(
        optimizer,
        lambda variable: window.sum_of(variable).value,
        window.divisor.value,
        lambda: window.gradient_counts.value,
        current,
        loss=window.loss.value if optimizer.needs_loss else None,
    )


def _write_kind(optimizer, pairs, factor, rate, decay, shared):
    """Change variables of one dtype, rate and decay: what `write_one` does, for all at once."""
    variables, gradients = zip(*pairs, strict=True)
    dtype = torch.promote_types(variables[0].value.dtype, torch.float32)
    weights = _Foreach([variable.value for variable in variables])
    values = weights.to(dtype)
    if decay is not None:
        values = values - values * decay * rate.to(dtype)
    if factor is not None and goes_with_rate(optimizer, gradients[0], variables[0]):
        rate, factor = rate * factor, None
    gradients = _Foreach([dense(g) for g in gradients])
    if factor is not None:
        gradients = gradients.to(factor.dtype) * factor
    gradients = gradients.to(dtype)
    indices = [optimizer._get_variable_index(variable) for variable in variables]
    slots = [_Foreach([slot[i].value for i in indices]) for slot in optimizer.slots]
    scalars = [scalar.to(dtype) for scalar in (rate, *shared)]
    change, after = _by_rule(optimizer, gradients, tuple([slot.to(dtype) for slot in slots]), *scalars)
    for slot, value in zip(slots, after, strict=True):
        slot.set(value)
    weights.set(values + change)


def _by_rule(optimizer, *arguments):
    """What the rule makes of lists of tensors; a TypeError of one line where it does what lists cannot."""
    try:
        return optimizer.rule(*arguments)
    except (AttributeError, TypeError, ValueError) as error:
        (reason, *_) = str(error).splitlines() or [""]
        raise TypeError(
            f"{type(optimizer).__name__}: on torch its `rule` is computed for many variables at once, and fails: "
            f"{reason}. If it is not made of `+`, `-`, `*` and `/` alone, entry by entry, write `arithmetic = False`."
        ) from error


class _Foreach:
    """A list of tensors that is computed with like one tensor: an operation is one call of torch for the whole list.

    Args:
        tensors: list, of one dtype, on one device.
    """

    def __init__(self, tensors):
        self.tensors = tensors

    def to(self, dtype):
        """The same tensors in a dtype."""
        return _Foreach([tensor.to(dtype) for tensor in self.tensors])

    def set(self, values):
        """Give the tensors the values of others of the same shapes."""
        torch._foreach_copy_(self.tensors, values.tensors)

    def __add__(self, other):
        return _Foreach(torch._foreach_add(self.tensors, _operand(other)))

    def __sub__(self, other):
        if isinstance(other, _Foreach):
            return _Foreach(torch._foreach_sub(self.tensors, other.tensors))
        return self + -other  # to subtract a scalar tensor, torch would fetch it from the device

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        return _Foreach(torch._foreach_mul(self.tensors, _operand(other)))

    def __truediv__(self, other):
        return _Foreach(torch._foreach_div(self.tensors, _operand(other)))

    def __rtruediv__(self, other):
        return _Foreach(torch._foreach_reciprocal(self.tensors)) * other

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return _Foreach(torch._foreach_neg(self.tensors))


def _operand(other):
    """The other operand as torch takes it: a list of tensors, a number, or a scalar tensor."""
    return other.tensors if isinstance(other, _Foreach) else other
