import numpy as np

from recipes.data.labelled import Labelled


def digits():
    """Scikit-learn's 1,797 handwritten digits, real scans of 8×8 pixels, as images of 32×32×3.

    Every pixel becomes a square of 4×4 in three equal channels, 0..16 becomes 0..255. One image in five, the same for
    everybody and stratified by class, is the test part.

    Returns:
        `Labelled` of 1,437 and 360 samples.

    Reference:
        Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI, 1998.
    """
    import sklearn
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    squares = np.kron(pixels.reshape(-1, 8, 8), np.ones((1, 4, 4)))
    images = np.repeat(np.round(squares * 255 / 16).astype(np.uint8)[..., None], 3, axis=-1)
    rest, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    train, test = ((images[rows], labels[rows].astype(np.int32)) for rows in (rest, test))
    return Labelled(tuple("0123456789"), train, test, {"scikit-learn": sklearn.__version__}).with_digest()
