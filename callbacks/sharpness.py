import itertools
import warnings

import keras
import numpy as np
from keras import ops

from callbacks.lanczos import largest_eigenvalue
from callbacks.loss import Loss, untrained_variables
from callbacks.loss_reduction import check_has_reduction
from callbacks.object_only import object_only
from callbacks.sample_arrays import SampleArrays
from custom_optimizers.arguments import count, positive
from custom_optimizers.backend import backend_module

RANDOM_PART = 0.3  # norm of the random part of a start vector, whose other part has the norm 1


@object_only
class Sharpness(keras.callbacks.Callback):
    """Logs the largest eigenvalue of the loss's Hessian, `sharpness`.

    ```python
    V = orthonormal basis of v, H @ v, H @ H @ v, ...                 # H @ v by differentiation, without H itself
    sharpness, y = the largest eigenvalue of V.T @ H @ V, and its vector
    stop when norm(H @ V @ y - sharpness * V @ y) <= tolerance * abs(sharpness)
    ```

    Descent with a constant learning rate is stable where the sharpness is below `2 / learning_rate`, with momentum
    below `(2 + 2 * momentum) / learning_rate`. With full batches it rises to that bound and stays there, the edge of
    stability. The loss is that of `compile`, as in training, over samples that are given here.

    The method is that of Lanczos. It finds the largest eigenvalue also where negative ones are as large in magnitude,
    as they are near saddles. When it stops by this rule, an eigenvalue of H lies within `tolerance * abs(sharpness)` of
    the sharpness, and most often far nearer, since the error is proportional to the square of that norm. This
    eigenvalue is likely to be the largest one, but that is not certain. The first measurement begins with a random
    vector `v`, each later one with the leading vectors of the one before and a random part. They take up to 30 vectors
    of float64 in the memory of the host, 240 bytes for each weight.

    The vectors of the last measurement are not in the file of `ExactResume`. So after a restart the sharpness agrees
    with that of a run that was not killed within the tolerance, and not to the bit.

    With a `batch_size` the samples are taken in parts, and the loss is the mean of the parts' losses by their numbers
    of samples. That is exact for losses that are means over the samples. Layers that couple samples, such as batch
    normalisation, see one part at a time.

    Args:
        x: array of samples; with several inputs a list or dictionary of arrays, as for `fit`.
        y: array of targets; with several outputs a list or dictionary of arrays. None where the loss needs none.
        batch_size: int, samples in memory at once; None: all.
        every: int >= 1, epochs from one measurement to the next; the first is made after the first epoch.
        iterations: int >= 1, products with the Hessian at most. If that is not enough for `tolerance`, a warning says
            so.
        tolerance: float > 0, norm of the residual `H @ v - sharpness * v`, relative to the sharpness.

    Attributes:
        products: int, products with the Hessian that the last measurement has taken.

    Raises:
        ValueError: an argument is out of its range, the arrays have different numbers of samples, the model has no
            trainable weights, or `batch_size` splits a loss that is no mean over the samples.

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

    def __init__(self, x, y, batch_size=None, every=1, iterations=100, tolerance=1e-4):
        super().__init__()
        self._samples = SampleArrays("Sharpness", x, y)
        self.batch_size = len(self._samples) if batch_size is None else count("Sharpness", "batch_size", batch_size)
        self.every = count("Sharpness", "every", every)
        self.iterations = count("Sharpness", "iterations", iterations)
        self.tolerance = positive("Sharpness", "tolerance", tolerance)
        self.products = 0
        self._leading = self._product = self._generator = None

    def on_train_begin(self, logs=None):
        check_has_reduction("Sharpness", self.model)
        if self.batch_size < len(self._samples):
            _check_mean(self.model.loss, self.batch_size)
        self._leading = None
        self._generator = np.random.default_rng(0)
        self._product = backend_module().compiled(_product_of(self.model))

    def on_train_end(self, logs=None):
        self._product = None  # the model may be compiled anew

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and epoch % self.every == 0:
            logs["sharpness"] = self.measure()

    def measure(self):
        """The largest eigenvalue at the present weights of the model."""
        if self._product is None:
            self.on_train_begin()
        weights = [ops.copy(v) for v in self.model.trainable_variables]
        untrained = [ops.copy(v) for v in untrained_variables(self.model)]
        if not weights:
            raise ValueError("Sharpness: the model has no trainable weights, so its loss has no Hessian")
        values = weights, untrained, backend_module().random_state()
        start = self._start_vector(sum(_sizes(weights)))
        found = largest_eigenvalue(lambda v: self._hessian_product(values, v), start, self.tolerance, self.iterations)
        self.products, self._leading = found.products, found.leading
        if not found.is_exact and np.isfinite(found.value):
            warnings.warn(
                f"Sharpness: after {found.products} products with the Hessian the sharpness is {found.value:.6g} and "
                f"the residual {found.residual:.2g}, above tolerance={self.tolerance:g} of it; raise `iterations` or "
                "`tolerance`",
                stacklevel=2,
            )
        return found.value

    def _start_vector(self, size):
        """The sum of the leading vectors of the last measurement, one of which may lead now, and of a random part."""
        random = _unit(self._generator.standard_normal(size))
        if self._leading is None or not len(self._leading):
            return random
        return _unit(self._leading.sum(axis=0)) + RANDOM_PART * random

    def _hessian_product(self, values, vector):
        """The product of the Hessian over all samples with a vector, float64; all products have the same dropout."""
        total, number = np.zeros(vector.shape), len(self._samples)
        vectors = _as_weights(vector, values[0])
        for start in range(0, number, self.batch_size):
            stop = min(start + self.batch_size, number)
            products = self._product(*values, vectors, *self._samples.part(start, stop))
            flat = [np.ravel(ops.convert_to_numpy(p)).astype("float64") for p in products]
            total += (stop - start) / number * np.concatenate(flat)
        return total


def _product_of(model):
    """A function of the model's values, a vector and a batch that returns a product with the Hessian."""

    def product(weights, untrained, random, vectors, x, y):
        return Loss(model, untrained, x, y, None, random=random).hessian_product(weights, vectors)

    return product


def _check_mean(losses, batch_size):
    for loss in keras.tree.flatten(losses):
        reduction = getattr(loss, "reduction", "mean")  # as Keras takes names and functions
        if reduction in ("sum", "mean_with_sample_weight"):
            raise ValueError(
                f"Sharpness: batch_size={batch_size} takes means over parts of the samples, and the loss "
                f"'{loss.name}' has reduction='{reduction}'; use batch_size=None or a loss that is a mean"
            )


def _as_weights(vector, weights):
    """A vector cut into tensors of the shapes and dtypes of the weights."""
    parts = np.split(vector, list(itertools.accumulate(_sizes(weights)))[:-1])
    return [ops.convert_to_tensor(p.reshape(w.shape), dtype=w.dtype) for p, w in zip(parts, weights, strict=True)]


def _sizes(weights):
    return [int(np.prod(w.shape)) for w in weights]


def _unit(vector):
    return vector / np.linalg.norm(vector)
