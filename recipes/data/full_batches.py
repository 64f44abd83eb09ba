import functools

import numpy as np

from custom_optimizers.arguments import is_whole
from recipes.data.row_batches import RowBatches, bytes_of
from recipes.data.without_autotune import without_autotune
from recipes.machine import strategies
from recipes.settings.nearest import nearest_multiple

REDUCTIONS = ("mean", "sum")


def full_batches(x, y, batch_size, replicas=None, *, sample_weight=None, reduction="mean", block_size=None):
    """A pass over all samples in micro-batches of one shape, for exact full-batch training.

    ```python
    steps = ceil(n / batch_size)
    weight = steps * batch_size / n       # of every sample, so that the mean of the micro-batches is the mean of all
    weight = 0                            # of rows that fill the last micro-batch: real rows once more
    ```

    XLA and TPUs need batches of one shape. The mean of the micro-batches with equal weights is the exact mean over all
    samples, so it can be taken by `callbacks.FullBatch`, or by `gradient_accumulation_steps=steps` without it. Compile
    with `weighted_metrics=`, since plain `metrics=` count the filling rows too. The order is that of `x` in every pass.

    The samples stay in memory as they are, uint8 for instance; batches are gathered from them.

    Args:
        x: array or structure of arrays of `n` samples. Lists become tuples, as in `fit`.
        y: array or structure of arrays of `n` targets.
        batch_size: int >= 1, samples in a micro-batch over all replicas. Taken down to `n` where it is larger.
        replicas: int, devices that share a micro-batch. By default those of the current `tf.distribute` strategy or of
            `keras.distribution`.
        sample_weight: array of shape `(n,)` or `(n, …)`: weights that you give to the samples. Keras multiplies the
            values of a loss by them, so for values of rank 3 (a class for each pixel) give `np.ones((n, 1, 1))`.
        reduction: "mean" for losses that average over the batch, with sample weights or without; "sum" for losses
            with reduction="sum", which need weight 1 for every sample.
        block_size: int, for `callbacks.BlockGradient`. Then whole blocks fill the last micro-batch of full size, and
            the samples behind the last whole block are one more, smaller micro-batch.

    Returns:
        `(x, y, sample_weight)`, `steps` times: a `tf.data.Dataset` on TensorFlow and a `keras.utils.PyDataset` on other
        backends, of which each of several processes gets its share of every micro-batch. `sample_weight` is float32, of
        shape `(batch_size, 1)` for means and `(batch_size,)` for sums, unless you gave weights of another shape. By
        this shape `FullBatch` tells weights for means, and refuses them with a loss that is a sum.

        `nbytes` of it says how much memory all batches of a pass take together.

    Raises:
        ValueError: the arrays differ in length or are empty, the replicas cannot share a micro-batch evenly, or a
            micro-batch is no multiple of a block.

    Example:

    >>> import numpy as np
    >>> from recipes.data import full_batches
    >>> batches = full_batches(np.arange(10), np.arange(10), batch_size=4)
    >>> [[round(float(w), 2) for w in weights[:, 0]] for _, _, weights in batches]
    [[1.2, 1.2, 1.2, 1.2], [1.2, 1.2, 1.2, 1.2], [1.2, 1.2, 0.0, 0.0]]
    """
    import keras

    if reduction not in REDUCTIONS:
        raise ValueError(f"full_batches: `reduction` must be 'mean' or 'sum'. Received: reduction={reduction!r}")
    if replicas is not None and (not is_whole(replicas) or replicas < 1):
        raise ValueError(f"full_batches: `replicas` must be an int >= 1 or None. Received: replicas={replicas!r}")
    if replicas is None:
        replicas = strategies.replicas()
    n = _common_length(keras.tree.flatten((x, y)) + ([] if sample_weight is None else [sample_weight]))
    rest = 0 if block_size is None else _rest(n, batch_size, replicas, block_size)
    rows = []
    if n > rest:
        batch_size = shared_evenly("full_batches", batch_size, replicas, n - rest)
        steps = -(-(n - rest) // batch_size)
        rows += list(np.resize(np.arange(n - rest), (steps, batch_size)))  # samples 0, 1, … fill the last one
    rows += [np.arange(n - rest, n)] if rest else []
    weights = _weights(n, rest, rows, sample_weight, reduction)
    samples = keras.tree.lists_to_tuples((x, y))
    if keras.backend.backend() != "tensorflow":
        return RowBatches(samples, rows, weights)
    batches = _dataset(samples, rows, weights)
    batches.nbytes = bytes_of(samples, rows, weights)
    return batches


def _rest(n, batch_size, replicas, block_size):
    """How many samples are behind the last whole block."""
    if not is_whole(block_size) or block_size < 1:
        raise ValueError(f"full_batches: `block_size` must be None or an int >= 1. Received: {block_size!r}")
    each = block_size * replicas
    if batch_size % each:
        nearest = nearest_multiple(batch_size, each)
        raise ValueError(f"full_batches: micro-batches are multiples of {each}, such as batch_size={nearest}")
    rest = n % block_size
    if rest and replicas > 1:
        raise ValueError(
            f"full_batches: {replicas} replicas cannot share the last {rest} of {n} samples; leave them out"
        )
    return rest


def evaluation_batches(x, y, batch_size):
    """A part of the data as `evaluate` and `validation_data` take it, each sample counted once.

    Returns:
        Arguments of `evaluate`. Where several devices have to share every batch evenly: `{"x": full_batches(...)}`.
    """
    devices = strategies.replicas()
    if devices == 1:
        return plain_batches((x, y), batch_size)
    return {"x": full_batches(x, y, -(-batch_size // devices) * devices)}


def plain_batches(samples, batch_size):
    """Samples in order as `evaluate` and `predict` take them; the last batch may be smaller.

    Several devices share batches of one size alone.

    Args:
        samples: tuple of arrays of one length, `(x,)` or `(x, y)`.
        batch_size: int >= 1.

    Returns:
        Keyword arguments: on TensorFlow `x`, a `tf.data.Dataset`; on other backends the arrays and the size.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return {**dict(zip("xy"[: len(samples)], samples, strict=True)), "batch_size": batch_size}
    rows = np.arange(len(samples[0]))
    return {"x": _dataset(samples, np.split(rows, rows[batch_size::batch_size]))}


def _dataset(samples, rows, *others):
    """`(*samples[rows], *others)` of each batch, a `tf.data.Dataset`; only the last batch may differ in size."""
    import keras
    import tensorflow as tf

    samples = keras.tree.map_structure(tf.convert_to_tensor, samples)

    def gather(row, *others):
        return *keras.tree.map_structure(lambda array: tf.gather(array, row), samples), *others

    whole = sum(len(row) == len(rows[0]) for row in rows)
    parts = [slice(0, whole)] + [slice(whole, None)] * (whole < len(rows))  # one shape, and a smaller last one
    sets = [[np.stack(each[part]) for each in (rows, *others)] for part in parts]
    batches = functools.reduce(
        lambda a, b: a.concatenate(b), [tf.data.Dataset.from_tensor_slices(tuple(each)) for each in sets]
    )
    return without_autotune(batches.map(gather, num_parallel_calls=2).prefetch(2))


def _common_length(arrays):
    if not all(len(getattr(array, "shape", ())) > 0 for array in arrays):
        raise ValueError("full_batches: x, y and sample_weight must be arrays, or structures of arrays.")
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "full_batches: x, y and sample_weight must have the same number of samples, at least one. "
            f"Received lengths: {sorted(lengths)}"
        )
    return lengths.pop()


def shared_evenly(owner, batch_size, replicas, n):
    """`batch_size`, but no larger than `n` samples need. Raises a ValueError if the devices cannot share it evenly."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"{owner}: `batch_size` must be an int >= 1. Received: batch_size={batch_size!r}")
    if batch_size % replicas:
        nearest = nearest_multiple(batch_size, replicas)
        raise ValueError(
            f"{owner}: {replicas} replicas cannot share batches of {batch_size} evenly. "
            f"Use a multiple of {replicas}, such as batch_size={nearest}."
        )
    return min(int(batch_size), -(-n // replicas) * replicas)


def _weights(n, rest, rows, sample_weight, reduction):
    """Weights of each batch, by which the mean of all batches is that of all samples: a list of float32 arrays."""
    given = np.ones(n) if sample_weight is None else np.asarray(sample_weight)
    if reduction == "mean" and given.ndim == 1:
        given = given[:, None]
    count = sum(map(len, rows))
    scaled = given * (count / n if reduction == "mean" else 1)
    filled = np.zeros((count - rest, *given.shape[1:]))
    filled[: n - rest] = scaled[: n - rest]
    each = np.concatenate([filled, scaled[n - rest :]]).astype(np.float32)
    return np.split(each, np.cumsum([len(batch) for batch in rows])[:-1])
