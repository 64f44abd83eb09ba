import math

import keras
from keras import ops

from custom_optimizers.arguments import count, flag, number_in, one_of, positive
from custom_optimizers.clipping.norms import global_norm
from custom_optimizers.descent import Descent
from custom_optimizers.dtypes import wide_dtype
from custom_optimizers.patterns import Patterns
from custom_optimizers.units import is_depthwise, is_embedding, unit_axes

QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of Newton-Schulz: steep at 0, so that few steps are enough


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Muon(Descent):
    """Momentum whose steps are orthogonal matrices: for kernels of dense layers and of convolutions.

    Update rule for a kernel `w` with the gradient `g` of the full batch, both seen as matrices of shape
    (everything that goes into a unit, units):

    ```python
    velocity = momentum * velocity + g
    m = g + momentum * velocity if nesterov else velocity
    x = m / norm(m)
    for _ in range(ns_steps):                            # Newton-Schulz: x becomes U V' of its singular vectors
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    w = w - learning_rate * size * x
    ```

    Biases, gains, embeddings, depthwise kernels and what `exclude` names are trained by `others`:

    ```python
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g ** 2      # others="adam", t updates made
    w = w - learning_rate * (m / (1 - beta_1 ** t)) / (sqrt(v / (1 - beta_2 ** t)) + eps)

    velocity = momentum * velocity + g                                            # others="momentum"
    w = w - learning_rate * (g + momentum * velocity if nesterov else velocity)
    ```

    They usually want another rate: `learning_rate_multipliers={"bias$": 0.1}`. Kernels of convolutions are flattened to
    (height * width * channels, filters). `keras.optimizers.Muon` gives them to AdamW instead.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable without arguments.
        momentum: float in [0, 1).
        nesterov: bool.
        ns_steps: int >= 1. Five bring most singular values to between 0.7 and 1.2; those far below the largest, as
            square random matrices have, stay smaller.
        size: "rms": 0.2 * sqrt(the larger side of the matrix), so that entries move as far as Adam's and one rate
            serves both; "spectral": sqrt(max(1, units / inputs)), so that outputs move as far in every layer;
            "none": 1.
        others: "adam" or "momentum".
        exclude: None or a list of regular expressions, such as `["head/"]`, of variables that `others` trains.
        beta_1, beta_2: floats in [0, 1), of "adam".
        eps: float > 0, of "adam".
        ns_dtype: "float32" (or the variable's dtype, if that is wider), or "bfloat16", in which the Newton-Schulz steps
            take a fraction of the time on hardware that multiplies such matrices, and move singular values by up to
            0.1.
        kwargs: the other arguments of `Descent`: accumulation, clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range; at the first update, an expression matches no variable.

    References:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024,
        https://kellerjordan.github.io/posts/muon ("spectral").
        Liu et al., Muon is scalable for LLM training, 2025, arXiv:2502.16982 ("rms").

    Example:

    >>> import keras, numpy as np
    >>> from custom_optimizers import Muon
    >>> w = keras.Variable(np.zeros((3, 3, 2, 4)), name="kernel")
    >>> gradient = np.random.default_rng(0).normal(size=(3, 3, 2, 4))
    >>> Muon(learning_rate=1.0, size="none").apply([keras.ops.array(gradient, "float32")], [w])
    >>> values = np.linalg.svd(keras.ops.convert_to_numpy(w).reshape(18, 4), compute_uv=False)
    >>> bool(values.min() > 0.6 and values.max() < 1.3)
    True
    """

    arguments = ("momentum", "nesterov", "ns_steps", "size", "others", "exclude", "beta_1", "beta_2", "eps", "ns_dtype")
    arithmetic = False

    def __init__(
        self,
        learning_rate=0.001,
        momentum=0.95,
        nesterov=True,
        ns_steps=5,
        size="rms",
        others="adam",
        exclude=None,
        beta_1=0.9,
        beta_2=0.999,
        eps=1e-7,
        ns_dtype="float32",
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = number_in("Muon", "momentum", momentum, least=0, below=1)
        self.nesterov = flag("Muon", "nesterov", nesterov)
        self.ns_steps = count("Muon", "ns_steps", ns_steps)
        self.ns_dtype = one_of("Muon", "ns_dtype", ns_dtype, ("float32", "bfloat16"))
        self.size = one_of("Muon", "size", size, ("rms", "spectral", "none"))
        self.others = one_of("Muon", "others", others, ("adam", "momentum"))
        self.exclude = exclude
        self.excluded = Patterns.of_list("Muon", "exclude", exclude)
        self.beta_1 = number_in("Muon", "beta_1", beta_1, least=0, below=1)
        self.beta_2 = number_in("Muon", "beta_2", beta_2, least=0, below=1)
        self.eps = positive("Muon", "eps", eps)

    slot_names = ("velocity",)

    @property
    def patterns(self):
        return [*super().patterns, self.excluded]

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self.axes = [None if i in self.excluded.by_index else _axes_of_units(v) for i, v in enumerate(variables)]
        adam = self.others == "adam"
        self.squares = [
            self.add_variable_from_reference(v, name="squares") if adam and axes is None else None
            for v, axes in zip(variables, self.axes, strict=True)
        ]

    def update_step(self, gradient, variable, learning_rate, *shared):
        index, dtype = self._get_variable_index(variable), wide_dtype(variable)
        gradient = ops.cast(self._backend.dense(gradient), dtype)
        rate = ops.cast(learning_rate, dtype)
        velocity, squares, axes = self.slots[0][index], self.squares[index], self.axes[index]
        if squares is not None:
            step = self._adam(gradient, velocity, squares)
        else:
            step = self._momentum(gradient, velocity)
            step = step if axes is None else self._orthogonal(step, axes)
        self.assign_sub(variable, step * rate)

    def _momentum(self, gradient, velocity):
        after = ops.cast(velocity, gradient.dtype) * self.momentum + gradient
        self.assign(velocity, after)
        return gradient + after * self.momentum if self.nesterov else after

    def _adam(self, gradient, velocity, squares):
        t = ops.cast(self.iterations + 1, gradient.dtype)
        m = ops.cast(velocity, gradient.dtype) * self.beta_1 + gradient * (1 - self.beta_1)
        v = ops.cast(squares, gradient.dtype) * self.beta_2 + ops.square(gradient) * (1 - self.beta_2)
        self.assign(velocity, m)
        self.assign(squares, v)
        beta_1, beta_2 = (ops.convert_to_tensor(beta, gradient.dtype) for beta in (self.beta_1, self.beta_2))
        return m / (1 - beta_1**t) / (ops.sqrt(v / (1 - beta_2**t)) + self.eps)

    def _orthogonal(self, tensor, axes):
        """The tensor, which is seen as a matrix and made orthogonal."""
        ends = tuple(range(-len(axes), 0))
        turned = ops.moveaxis(tensor, axes, ends)
        units = math.prod(turned.shape[-len(axes) :])
        matrix = ops.reshape(turned, (-1, units))
        dtype = "bfloat16" if self.ns_dtype == "bfloat16" else None
        matrix = orthogonalized(matrix, self.ns_steps, dtype) * self._size_of(matrix.shape[0], units)
        return ops.moveaxis(ops.reshape(matrix, turned.shape), ends, axes)

    def _size_of(self, inputs, units):
        return {
            "rms": 0.2 * max(inputs, units) ** 0.5,
            "spectral": max(1, units / inputs) ** 0.5,
            "none": 1.0,
        }[self.size]


def orthogonalized(matrix, steps, dtype=None):
    """A matrix with its singular values brought near 1 by Newton-Schulz iterations.

    Args:
        matrix: tensor (rows, columns), float32 or wider.
        steps: int.
        dtype: str, that the iterations are computed in; None for the matrix's own. The result has the matrix's own.
    """
    a, b, c = QUINTIC
    norm = global_norm([matrix])
    x = ops.cast(matrix / ops.where(norm > 0, norm, ops.ones_like(norm)), dtype or matrix.dtype)
    is_tall = matrix.shape[0] > matrix.shape[1]
    for _ in range(steps):  # by x.T @ x or x @ x.T, the smaller one; no singular value of x is above 1 at first
        if is_tall:
            gram = ops.matmul(ops.transpose(x), x)
            x = x * a + ops.matmul(x, gram * b + ops.matmul(gram, gram) * c)
        else:
            gram = ops.matmul(x, ops.transpose(x))
            x = x * a + ops.matmul(gram * b + ops.matmul(gram, gram) * c, x)
    return ops.cast(x, matrix.dtype)


def _axes_of_units(variable):
    """The axes that number a kernel's units; None for a variable that is not trained as a matrix."""
    is_other = 0 in variable.shape or is_embedding(variable) or is_depthwise(variable)
    return None if is_other else unit_axes(variable) or None
