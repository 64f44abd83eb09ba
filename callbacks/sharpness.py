import keras
import numpy as np
from keras import ops

from callbacks.block_gradient import Loss, others_of
from custom_optimizers.arguments import count, positive
from custom_optimizers.backend import backend_module


class Sharpness(keras.callbacks.Callback):
    """Logs the largest eigenvalue of the loss's Hessian, `sharpness`.

    ```python
    repeat:  v = H @ v / norm(H @ v);  eigenvalue = v @ H @ v         # H @ v by differentiation, H is never there
    ```

    Descent with a constant learning rate is stable where the sharpness is below `2 / learning_rate`, with momentum
    below `(2 + 2 * momentum) / learning_rate`. With full batches it rises to that bound and stays there, the edge of
    stability. The loss is that of `compile`, as in training, over samples that are given here. If the eigenvalue of
    largest size is negative, the iteration is repeated on `H` less that eigenvalue. Each begins with the vector that
    the last one ended with.

    Args:
        x: array of samples.
        y: array of targets.
        batch_size: int, samples in memory at once; None: all.
        every: int >= 1, epochs from one look to the next; the first epoch is looked at.
        iterations: int >= 1, at most, a product with the Hessian each.
        tolerance: float > 0, relative change of the eigenvalue at which the iteration ends.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Cohen et al., Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability, 2021,
        arXiv:2103.00065.

    Example:

    >>> import keras, numpy as np
    >>> from callbacks import Sharpness
    >>> model = keras.Sequential([keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x = np.random.rand(64, 3)
    >>> y = x.sum(axis=1, keepdims=True)
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[Sharpness(x, y)])
    >>> len(history.history["sharpness"])
    2
    """

    def __init__(self, x, y, batch_size=None, every=1, iterations=100, tolerance=1e-3):
        super().__init__()
        self.x, self.y = np.asarray(x), np.asarray(y)
        if len(self.x) != len(self.y) or len(self.x) == 0:
            raise ValueError(
                f"Sharpness: `x` and `y` have {len(self.x)} and {len(self.y)} samples; give as many of each"
            )
        self.batch_size = len(self.x) if batch_size is None else count("Sharpness", "batch_size", batch_size)
        self.every = count("Sharpness", "every", every)
        self.iterations = count("Sharpness", "iterations", iterations)
        self.tolerance = positive("Sharpness", "tolerance", tolerance)
        self._vectors = self._product = None

    def on_train_begin(self, logs=None):
        self._vectors = None
        self._product = backend_module().compiled(_product_of(self.model))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and epoch % self.every == 0:
            logs["sharpness"] = self.measure()

    def measure(self):
        """The largest eigenvalue at the model's weights as they are now."""
        weights = [ops.copy(v) for v in self.model.trainable_variables]
        others = [ops.copy(v) for v in others_of(self.model)]
        largest = self._iterated(weights, others, 0.0)
        return largest if largest >= 0 else largest + self._iterated(weights, others, largest)

    def _iterated(self, weights, others, shift):
        """The eigenvalue of largest size of the Hessian less `shift`."""
        vectors = _unit(self._vectors or _random(weights))
        value = 0.0
        for _ in range(self.iterations):
            products = [p - shift * v for p, v in zip(self._times(weights, others, vectors), vectors, strict=True)]
            before, value = value, _dot(vectors, products)
            vectors = _unit(products)
            if abs(value - before) <= self.tolerance * abs(value):
                break
        self._vectors = vectors
        return value

    def _times(self, weights, others, vectors):
        """The product of the Hessian over all samples with vectors, in float64."""
        total = [np.zeros(v.shape) for v in vectors]
        given = [ops.convert_to_tensor(v, dtype=w.dtype) for v, w in zip(vectors, weights, strict=True)]
        for start in range(0, len(self.x), self.batch_size):
            x, y = self.x[start : start + self.batch_size], self.y[start : start + self.batch_size]
            products = self._product(weights, others, given, ops.convert_to_tensor(x), ops.convert_to_tensor(y))
            share = len(x) / len(self.x)
            total = [
                t + share * np.asarray(ops.convert_to_numpy(p), "float64") for t, p in zip(total, products, strict=True)
            ]
        return total


def _product_of(model):
    def product(weights, others, vectors, x, y):
        return Loss(model, others, x, y, None).hessian_product(weights, vectors)

    return product


def _random(weights):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(tuple(w.shape)) for w in weights]


def _dot(a, b):
    return float(sum(np.vdot(one, other) for one, other in zip(a, b, strict=True)))


def _unit(vectors):
    norm = _dot(vectors, vectors) ** 0.5
    return [v / norm for v in vectors] if norm > 0 else vectors
