"""Which axes of a Keras kernel number its units: what unit-wise rules take a norm or a mean for."""

import re


def unit_axes(variable):
    """The axes that number the units (outputs) of a kernel, as a tuple.

    ```python
    bias, gain, scalar            ()          # one unit
    Dense            (in, out)    (1,)
    Conv       (…, in, out)       (rank - 1,)
    ConvTranspose (…, out, in)    (rank - 2,)
    DepthwiseConv (…, in, mult)   (rank - 2, rank - 1)
    Embedding   (words, size)     (0,)
    query, key, value of MultiHeadAttention (in, heads, size)   (1, 2)
    ```

    A kernel does not say what layer it belongs to. Embeddings and separable convolutions are known by the names of
    their variables, "embeddings" and "depthwise_kernel"; the others by those that Keras gives to layers,
    "conv2d_transpose_1", "depthwise_conv2d", "query". Such a layer with a name of its own counts as Dense or Conv.

    Args:
        variable: variable of a Keras layer.
    """
    rank, (layer, _) = len(variable.shape), _layer_and_name(variable)
    if rank < 2:
        return ()
    if is_embedding(variable):
        return (0,)
    if is_depthwise(variable):
        return (rank - 2, rank - 1)
    if rank > 2 and re.fullmatch(r"conv\dd_transpose(_\d+)?", layer):
        return (rank - 2,)
    if rank == 3 and layer in ("query", "key", "value"):
        return (1, 2)
    return (rank - 1,)


def is_embedding(variable):
    """Whether a variable is the table of an Embedding."""
    return len(variable.shape) == 2 and _layer_and_name(variable)[1] == "embeddings"


def is_depthwise(variable):
    """Whether a variable is the kernel of a depthwise convolution."""
    layer, name = _layer_and_name(variable)
    named = name == "depthwise_kernel" or re.fullmatch(r"depthwise_conv\dd(_\d+)?", layer)
    return len(variable.shape) > 2 and bool(named)


def other_axes(variable):
    """The axes within a unit; all of them where the variable is one unit."""
    units = unit_axes(variable)
    return tuple(axis for axis in range(len(variable.shape)) if axis not in units)


def path_of(variable):
    """The path of a variable, "sequential/dense/kernel"; of one that is not Keras's, its name."""
    return getattr(variable, "path", variable.name)


def _layer_and_name(variable):
    """`("conv2d", "kernel")` of "model/conv2d/kernel"."""
    layers, _, name = path_of(variable).rpartition("/")
    return layers.rpartition("/")[2], name
