import numpy as np


def frechet_distance(a, b):
    """The Fréchet distance of two sets of features, as if each were normally distributed.

    ```python
    norm(mean(a) - mean(b)) ** 2 + trace(A + B - 2 * sqrt(A @ B))        # A, B: covariances
    ```

    On the features of a classifier it is a Fréchet classifier distance; the FID is that of one Inception network. It is
    biased upwards for few samples: by about `d * (d + 5) / 4 * (1 / len(a) + 1 / len(b))` for `d` features of variance
    1. So compare values of the same numbers of samples only.

    Args:
        a, b: arrays `(samples, features)`, two samples at least.

    Returns:
        A float >= 0.

    Raises:
        ValueError: the shapes do not go together, or something is not finite.

    Reference:
        Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash equilibrium, 2017,
        arXiv:1706.08500.

    Example:

    >>> import numpy as np
    >>> from recipes.gan.metrics import frechet_distance
    >>> a = np.random.default_rng(0).normal(size=(1000, 3))
    >>> round(frechet_distance(a, a + 2), 6)                  # 3 features, moved by 2 each
    12.0
    """
    a, b = (np.asarray(features, np.float64) for features in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"frechet_distance: features must be (samples, features), two samples at least. Received shapes: {a.shape} "
            f"and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("frechet_distance: features are not finite.")
    one, other = (np.cov(features, rowvar=False).reshape(a.shape[1], -1) for features in (a, b))
    root = _root(one)
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other @ root), 0, None)).sum()  # trace of sqrt(A @ B)
    distance = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(one) + np.trace(other) - 2 * shared
    return float(max(distance, 0.0))


def _root(covariance):
    """The symmetric square root of a matrix that is symmetric and not negative."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
