"""What a classifier takes for what, and where it is surest and wrong."""

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
