import numpy as np


def held_out(y, size, seed):
    """Choose samples to hold out: the same share of every class, at random.

    Args:
        y: int array of shape `(n,)`, the labels.
        size: int in 0 to n, how many to hold out in all. Each class gives its share, rounded so that the sum is exact
            (largest remainders).
        seed: int or sequence of ints.

    Returns:
        `(kept, held)`, two sorted int arrays of rows that together are all.
    """
    generator = np.random.default_rng(seed)
    _, members = np.unique(y, return_inverse=True)
    counts = _shares(np.bincount(members), size)
    held = [generator.permutation(np.flatnonzero(members == c))[:count] for c, count in enumerate(counts)]
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), held), held


def _shares(sizes, total):
    exact = sizes * total / sizes.sum()
    shares = np.floor(exact).astype(int)
    missing = total - shares.sum()
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares
