import numpy as np

from custom_optimizers.arguments import count


def kernel_distance(a, b, block_size=1000, seed=0):
    """The squared maximum mean discrepancy of two sets of features by a cubic kernel: unbiased for few samples too.

    ```python
    k(x, y) = (x @ y / d + 1) ** 3                                             # d features
    mean(k(a_i, a_j), i != j) + mean(k(b_i, b_j), i != j) - 2 * mean(k(a_i, b_j))
    ```

    On the features of Inception it is the KID. Sets larger than a block are taken in blocks of random samples.

    Args:
        a, b: arrays `(samples, features)`, two samples at least.
        block_size: int >= 2, samples of each set in a block, at most.
        seed: int, of the order of the samples.

    Returns:
        `(mean, standard deviation)` over the blocks. The mean may be negative. The deviation of one block is 0.

    Raises:
        ValueError: the shapes do not go together.

    Reference:
        Bińkowski et al., Demystifying MMD GANs, 2018, arXiv:1801.01401.

    Example:

    >>> import numpy as np
    >>> from recipes.gan.metrics import kernel_distance
    >>> a, b = np.random.default_rng(0).normal(size=(2, 400, 8))
    >>> abs(kernel_distance(a, b)[0]) < 0.05 < kernel_distance(a, b + 1)[0]
    True
    """
    a, b = (np.asarray(features, np.float64) for features in (a, b))
    block_size = count("kernel_distance", "block_size", block_size, least=2)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"kernel_distance: features must be (samples, features), two samples at least. Received shapes: {a.shape} "
            f"and {b.shape}"
        )
    rng, size = np.random.default_rng(seed), min(len(a), len(b), block_size)
    blocks = min(len(a), len(b)) // size
    orders = [rng.permutation(len(features))[: blocks * size].reshape(blocks, size) for features in (a, b)]
    values = [_unbiased(a[rows], b[columns]) for rows, columns in zip(*orders, strict=True)]
    return float(np.mean(values)), float(np.std(values))


def _unbiased(a, b):
    return _among_others(a) + _among_others(b) - 2 * _kernel(a, b).mean()


def _among_others(x):
    """Mean of the kernel of two different samples."""
    kernel = _kernel(x, x)
    return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3
