import torch


class Foreach:
    """Tensors that are computed with as one: each operation is one call of torch for all of them.

    Args:
        tensors: of one dtype, on one device.

    Example:

    >>> import torch  # doctest: +SKIP
    >>> pair = Foreach([torch.ones(2), torch.ones(3)]) * 2 + Foreach([torch.ones(2), torch.zeros(3)])  # doctest: +SKIP
    >>> [tensor.tolist() for tensor in pair.tensors]  # doctest: +SKIP
    [[3.0, 3.0], [2.0, 2.0, 2.0]]
    """

    def __init__(self, tensors):
        self.tensors = list(tensors)

    def set(self, values):
        """Give the tensors the values of others of the same shapes."""
        torch._foreach_copy_(self.tensors, values.tensors)

    def __add__(self, other):
        return Foreach(torch._foreach_add(self.tensors, _operand(other)))

    def __sub__(self, other):
        return Foreach(torch._foreach_sub(self.tensors, _operand(other)))

    def __mul__(self, other):
        return Foreach(torch._foreach_mul(self.tensors, _operand(other)))

    def __truediv__(self, other):
        return Foreach(torch._foreach_div(self.tensors, _operand(other)))

    def __neg__(self):
        return Foreach(torch._foreach_neg(self.tensors))


def _operand(other):
    """Another list of tensors, or a number, or a scalar tensor."""
    return other.tensors if isinstance(other, Foreach) else other
