"""What a classifier takes for what, how well it knows each class, and where it is surest and wrong."""

import numpy as np

SHOWN = 24  # mistakes


def confusion(probabilities, images, labels):
    """Counts, and the mistakes that the most probability was put on.

    Args:
        probabilities: array `(n, classes)`.
        images: uint8 `(n, height, width, channels)`.
        labels: ints `(n,)`.

    Returns:
        A dict of arrays: `counts` `(classes, classes)`, true classes down and guessed ones across; of at most 24
        mistakes, the surest first, `images`, `labels`, `guesses` and `confidences`.
    """
    guesses, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    counts = np.bincount(np.asarray(labels) * classes + guesses, minlength=classes**2).reshape(classes, classes)
    confidences = probabilities.max(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    wrong = wrong[np.argsort(-confidences[wrong], kind="stable")][:SHOWN]
    return {
        "counts": counts,
        "images": images[wrong],
        "labels": np.asarray(labels)[wrong],
        "guesses": guesses[wrong],
        "confidences": confidences[wrong].astype("float32"),
    }


def each_class(counts, classes):
    """How well each class is told from the others.

    Args:
        counts: int array `(classes, classes)`, true classes down and guessed ones across.
        classes: sequence of str, their names.

    Returns:
        A dict from names to dicts: `images`, an int; `recall`, the share of them that are found; `precision`, the share
        of those taken for the class that are of it. A share of nothing is None.
    """
    right, there, taken = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return {
        name: {"images": int(n), "recall": _share(hits, n), "precision": _share(hits, guessed)}
        for name, hits, n, guessed in zip(classes, right, there, taken, strict=True)
    }


def _share(part, whole):
    return float(part / whole) if whole else None
