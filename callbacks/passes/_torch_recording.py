"""A function of tensors as the list of torch's own operations that it comes to."""

import contextlib
import operator
import random

import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg
from torch.overrides import TorchFunctionMode

from custom_optimizers.backend import backend_module

TAKES_OUT = ("numpy", "tolist", "item", "__array__", "__bool__", "__float__", "__int__", "__index__", "data_ptr")
aten = torch.ops.aten
FILLED = {aten.ones_like.default: torch.ones, aten.zeros_like.default: torch.zeros}  # by the shape of a tensor alone


def recorded(function, *values):
    """What a function does with tensors of these shapes, as a list of operations that is carried out without it.

    Operations whose results are the same each time, such as those on the number of samples, are not in the list.

    Args:
        function: of structures of tensors, to a structure of tensors. It is called once.
        values: its arguments.

    Returns:
        `torch.fx.GraphModule`, which is called like the function.

    Raises:
        Exception: of any class, where what is done depends on the values of tensors, or on random numbers.
    """
    with _without_random_numbers(), _WithoutNumbers():
        module = make_fx(function)(*values)
    if any(map(_has_unknown_shape, module.graph.nodes)):
        raise NotRecordable("the shape of a tensor depends on values")
    for node in list(module.graph.nodes):
        if _does_nothing(node):
            node.replace_all_uses_with(node.args[0])
    _fold(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


class NotRecordable(Exception):
    """What a function does is not the same list of operations in each call."""


class _WithoutNumbers(TorchFunctionMode):
    """Context in which no values can be taken out of tensors, which would be those of one call."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in TAKES_OUT:
            raise NotRecordable(f"`{function.__name__}` takes values out of a tensor")
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def _without_random_numbers():
    """Context after which all generators are as they were; raises an error if one of them was drawn from."""
    backend = backend_module()
    before = random.getstate(), np.random.get_state(legacy=False), backend.random_state()
    try:
        yield
        drawn = repr(before[1]) != repr(np.random.get_state(legacy=False)) or before[0] != random.getstate()
        if drawn or not _are_same(before[2], backend.random_state()):
            raise NotRecordable("it draws random numbers")
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        backend.set_random_state(before[2])


def _are_same(one, other):
    (of_processor, of_devices), (processor_after, devices_after) = one, other
    pairs = zip([of_processor, *of_devices], [processor_after, *devices_after], strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _has_unknown_shape(node):
    """Whether an operation gives tensors whose shape depends on values: `nonzero`, or indexing by a mask."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    tags = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(node.target.tags)
    masks = any(each.meta.get("val") is not None and each.meta["val"].dtype == torch.bool for each in _indices(node))
    return masks or bool(tags and not _indices(node))


def _indices(node):
    """The tensors that an operation takes as indices."""
    if not str(node.target).startswith(("aten.index.", "aten.index_put", "aten._unsafe_index")):
        return []
    return [each for each in node.args[1] if each is not None]


def _does_nothing(node):
    """Whether a node gives the values that it is given; where the list is carried out, no gradient is recorded."""
    if node.target is aten.mul.Tensor and isinstance(node.args[1], int) and node.args[1] == 1:
        return node.meta["val"].dtype == node.args[0].meta["val"].dtype
    return node.target is aten.detach.default


def _fold(module):
    """Put values in place of the operations that compute with constants alone."""
    values = {}
    for node in module.graph.nodes:
        if _is_changing(node) and any(each in values for each in node.all_input_nodes):
            return  # a value would change from call to call
        if _is_constant(node, values):
            values[node] = _value(module, node, values)
    for i, (node, value) in enumerate(values.items()):
        if any(user not in values for user in node.users):
            module.register_buffer(f"constant_{i}", value)
            with module.graph.inserting_before(node):
                node.replace_all_uses_with(module.graph.get_attr(f"constant_{i}"))


def _is_changing(node):
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _is_constant(node, values):
    """Whether a node of a graph has the same value in each call, those of `values` being known.

    Tensors that the function has found outside of its arguments are none: somebody may change them.
    """
    target = node.target
    if target is aten.lift_fresh_copy.default:  # of a tensor that the function has made of numbers
        return node.args[0].op == "get_attr"
    if target in FILLED:
        return True
    is_pure = isinstance(target, torch._ops.OpOverload) and not node.is_impure()
    return (is_pure or target is operator.getitem) and all(each in values for each in node.all_input_nodes)


def _value(module, node, values):
    if node.target is aten.lift_fresh_copy.default:
        return getattr(module, node.args[0].target)
    if node.target in FILLED:
        like = node.meta["val"]
        return FILLED[node.target](like.shape, dtype=like.dtype, device=like.device)
    return node.target(*map_arg(node.args, values.get), **map_arg(node.kwargs, values.get))
