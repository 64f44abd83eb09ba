import numpy as np


def class_statistics(probabilities, labels=None):
    """How a classifier classifies generated images.

    ```python
    share = mean(argmax(probabilities) == class)         # of each class
    entropy = -sum(share * log(share))                   # log(classes) if all are equally frequent, 0 if there is one
    confidence = mean(max(probabilities))
    label_accuracy = mean(argmax(probabilities) == labels)
    ```

    Args:
        probabilities: array `(samples, classes)`, of the classifier.
        labels: ints `(samples,)` in 0 to classes - 1, for which the images were generated; None if there are none.

    Returns:
        A dict: `entropy` (nats), `confidence`, and `label_accuracy` if there are labels.

    Raises:
        ValueError: there are no samples, or not as many labels.

    Example:

    >>> import math, numpy as np
    >>> from recipes.gan.metrics import class_statistics
    >>> found = class_statistics(np.eye(4), labels=np.array([0, 1, 2, 2]))
    >>> round(found["entropy"] / math.log(4), 3), found["confidence"], found["label_accuracy"]
    (1.0, 1.0, 0.75)
    """
    probabilities = np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or len(probabilities) == 0:
        raise ValueError(
            f"class_statistics: `probabilities` must be (samples, classes). Received shape: {probabilities.shape}"
        )
    chosen = probabilities.argmax(axis=1)
    shares = np.bincount(chosen, minlength=probabilities.shape[1]) / len(chosen)
    shares = shares[shares > 0]
    found = {
        "entropy": float(-(shares * np.log(shares)).sum()) + 0.0,  # to get 0.0, not -0.0
        "confidence": float(probabilities.max(axis=1).mean()),
    }
    if labels is None:
        return found
    labels = np.asarray(labels)
    if labels.shape != chosen.shape:
        raise ValueError(
            f"class_statistics: give a label for each sample. Received shapes: {labels.shape} and {chosen.shape}"
        )
    return {**found, "label_accuracy": float((chosen == labels).mean())}
