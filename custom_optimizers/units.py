"""Which axes of a Keras kernel number its units: what unit-wise rules take a norm or a mean for."""


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

    A kernel does not say what layer it belongs to, so layers are known by their names in its path, as Keras gives
    them: "transpose", "depthwise", "embedding", "query". A layer that was renamed counts as Dense or Conv.

    Args:
        variable: variable of a Keras layer.
    """
    rank, path = len(variable.shape), path_of(variable).lower()
    if rank < 2:
        return ()
    if "embedding" in path:
        return (0,)
    if "depthwise" in path and rank > 2:
        return (rank - 2, rank - 1)
    if "transpose" in path and rank > 2:
        return (rank - 2,)
    if rank == 3 and any(f"/{name}/" in path for name in ("query", "key", "value")):
        return (1, 2)
    return (rank - 1,)


def other_axes(variable):
    """The axes within a unit; all of them where the variable is one unit."""
    units = unit_axes(variable)
    return tuple(axis for axis in range(len(variable.shape)) if axis not in units)


def path_of(variable):
    """The path of a variable, "sequential/dense/kernel"; of one that is not Keras's, its name."""
    return getattr(variable, "path", variable.name)
