import numpy as np

from recipes.data.labelled import Labelled
from recipes.data.to_shape import all_to_shape

SCANNED = 8  # pixels, the side of a scan
LARGEST = (32, 32, 3)


def digits(shape=LARGEST):
    """Scikit-learn's 1,797 handwritten digits, real scans of 8×8 pixels, as images of a shape.

    Where the sides are multiples of 8, every pixel becomes a square of equal pixels, 4×4 for 32×32, with the same value
    in all channels. For other sides, `to_shape` resizes the images of 32×32. Values 0..16 become 0..255. One image in
    five is in the test part: always the same ones, stratified by class.

    Args:
        shape: `(height, width, channels)`, of 1 or 3 channels.

    Returns:
        `Labelled` of 1,437 and 360 samples. Its digest is that of 32×32×3, whatever the shape.

    Reference:
        Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI, 1998.
    """
    import sklearn
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    scans = np.round(pixels.reshape(-1, SCANNED, SCANNED) * 255 / 16).astype(np.uint8)
    parts = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, test = ((_enlarged(scans[rows], LARGEST), labels[rows].astype(np.int32)) for rows in parts)
    found = Labelled(tuple("0123456789"), train, test, {"scikit-learn": sklearn.__version__}).with_digest()
    if tuple(shape) == LARGEST:
        return found
    x, x_test = (_shaped(scans[rows], shape) for rows in parts)
    return found._replace(train=(x, train[1]), test=(x_test, test[1]))


def _shaped(scans, shape):
    height, width, _ = shape
    if height % SCANNED or width % SCANNED:
        return all_to_shape(_enlarged(scans, LARGEST), shape)
    return _enlarged(scans, shape)


def _enlarged(scans, shape):
    """Every pixel as a rectangle of equal pixels, in equal channels."""
    height, width, channels = shape
    squares = scans.repeat(height // SCANNED, axis=1).repeat(width // SCANNED, axis=2)
    return np.repeat(squares[..., None], channels, axis=-1)
