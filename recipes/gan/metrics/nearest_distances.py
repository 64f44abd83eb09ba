import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min

AT_ONCE = 4096  # training images: 100 MB of pixels for 32 x 32 x 3


def nearest_distances(images, training):
    """How far each image is from the nearest one of the training set: 0 for a copy.

    ```python
    distance = min(norm(image - training_image))          # Euclidean, of pixels 0 to 255 divided by 255
    ```

    Compare it with the distances of real test images: much smaller distances mean that a generator copies.

    Args:
        images: uint8 array `(n, height, width, channels)`.
        training: uint8 array of images of the same shape.

    Returns:
        A float64 array `(n,)`.

    Raises:
        ValueError: the images are of different shapes.

    Example:

    >>> import numpy as np
    >>> from recipes.gan.metrics import nearest_distances
    >>> training = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype="uint8")
    >>> nearest_distances(training[3:5], training).tolist()
    [0.0, 0.0]
    """
    if images.shape[1:] != training.shape[1:]:
        raise ValueError(
            f"nearest_distances: images must be of one shape. Received: {images.shape[1:]} and {training.shape[1:]}"
        )
    rows, found = _flat(images), np.full(len(images), np.inf)
    for start in range(0, len(training), AT_ONCE):
        distances = pairwise_distances_argmin_min(rows, _flat(training[start : start + AT_ONCE]))[1]
        found = np.minimum(found, distances)
    return found / 255


def _flat(images):
    """Images as rows of float64: sums of squares of whole numbers are exact, so the distance of a copy is exactly 0."""
    return np.reshape(images, (len(images), -1)).astype(np.float64)
