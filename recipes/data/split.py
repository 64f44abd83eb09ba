import numpy as np


def held_out(y, size, seed, copies=None):
    """Choose samples to hold out: the same share of every class, at random.

    Args:
        y: int array of shape `(n,)`, the labels.
        size: int in 0 to n, how many to hold out in all. Each class gives its share, rounded so that the sum is exact
            (largest remainders).
        seed: int or sequence of ints.
        copies: int array of shape `(n,)`, equal for samples that are copies of each other. Copies of one class stay
            together, so a few more samples than `size` may be held out.

    Returns:
        `(kept, held)`: two sorted int arrays of rows. Each row is in one of them.
    """
    generator = np.random.default_rng(seed)
    copies = np.arange(len(y)) if copies is None else copies
    _, members = np.unique(y, return_inverse=True)
    held = []
    for label, count in enumerate(_shares(np.bincount(members), size)):
        rows = generator.permutation(np.flatnonzero(members == label))
        chosen = np.unique(copies[rows[:count]])
        held.append(rows[np.isin(copies[rows], chosen)])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), held), held


def copies_of(x):
    """A number for each image, equal for images of equal pixels.

    Args:
        x: uint8 array `(n, height, width, channels)`.

    Returns:
        uint64 array `(n,)`: a linear hash with random odd factors. Two images that differ have the same hash by chance
        once in 2**64.
    """
    pixels = x.reshape(len(x), -1)
    pixels = np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % 8))) if pixels.shape[1] % 8 else pixels
    words = np.ascontiguousarray(pixels).view(np.uint64)
    factors = np.random.default_rng(0).integers(0, 2**63, words.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    return words @ factors


def _shares(sizes, total):
    exact = sizes * total / sizes.sum()
    shares = np.floor(exact).astype(int)
    missing = total - shares.sum()
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares
