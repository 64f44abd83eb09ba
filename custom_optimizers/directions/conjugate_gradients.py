import keras
import numpy as np

from custom_optimizers.arguments import one_of
from custom_optimizers.backend import backend_module
from custom_optimizers.directions.direction import BY_SLOPE, Direction
from custom_optimizers.either import (
    cast,
    dot,
    isfinite,
    larger,
    side_by_side,
    smaller,
    sqrt,
    stack,
    transpose,
    unstack,
    where,
)

LEAST_DESCENT = 0.01  # of the steepest descent, along a direction that is taken
LENGTHS = 0.01  # of a gradient, that the bound of Hager and Zhang goes by at most


@keras.saving.register_keras_serializable(package="custom_optimizers")
class ConjugateGradients(Direction):
    """The direction of nonlinear conjugate gradients: the gradient, and a share of the last direction.

    ```python
    d = -g + beta * d_before
    beta = max(0, (g @ y) / (g_before @ g_before))             # "polak_ribiere_plus"
    beta = (g @ g) / (g_before @ g_before)                     # "fletcher_reeves"
    beta = max(0, (g @ y) / (d_before @ y))                    # "hestenes_stiefel"
    beta = (g @ g) / (d_before @ y)                            # "dai_yuan"
    beta = max(((y - 2 * d_before * (y @ y) / (d_before @ y)) @ g) / (d_before @ y),
               -1 / (norm(d_before) * min(0.01, norm(g_before))))                       # "hager_zhang"
    ```

    `y` is the change of the gradient. Where d would descend less than a hundredth as steeply as -g, it is -g.

    Args:
        beta: str, one of the above.

    References:
        Nocedal and Wright, Numerical Optimization, 2006, section 5.2.
        Hager and Zhang, A New Conjugate Gradient Method with Guaranteed Descent and an Efficient Line Search, SIAM
        Journal on Optimization 16, 2005.
    """

    arguments = ("beta",)
    first_step = BY_SLOPE

    def __init__(self, beta="polak_ribiere_plus"):
        self.beta = one_of("NonlinearCG", "beta", beta, tuple(BETAS))

    def initial_state(self, size, dtype="float32"):
        numbers = {"square": np.zeros((), dtype), "is_conjugate": np.zeros((), "int32")}
        return {"last": np.zeros(size, dtype), **numbers}

    def next(self, state, gradient, step, change, is_taken, has_failed):
        vectors = side_by_side([gradient, change, state["last"]])
        given = state["is_conjugate"], state["square"], dot(vectors, transpose(vectors)), is_taken, has_failed
        shares, square, is_conjugate = backend_module().of_few(self, "coefficients", *given)
        along = shares[0] * gradient + shares[1] * state["last"]
        return {"last": along, "square": square, "is_conjugate": is_conjugate}, along

    @np.errstate(all="ignore")
    def coefficients(self, is_conjugate, before, products, is_taken, has_failed):
        """What is computed of numbers alone.

        Args:
            is_conjugate: int, 1 if the last direction has a share of the one before it, else 0.
            before: number, the square of the gradient at the point before, if there is one.
            products: `(3, 3)`, the products of the gradient, its change and the last direction with each other.
            is_taken, has_failed: conditions, as in `next`.

        Returns:
            `(shares, square, is_conjugate)`: of the gradient and of the last direction, a vector; the square of the
            gradient; and whether the direction is another one than that of steepest descent, an int.
        """
        (gg, gy, gd), (_, yy, yd), (_, _, dd) = map(unstack, unstack(products))
        zero = 0 * gg
        beta = BETAS[self.beta](before, gg, gy, gd, yy, yd, dd)
        slope = -gg + beta * gd
        is_good = is_taken & isfinite(beta) & (beta != 0) & (slope <= -LEAST_DESCENT * gg)
        is_new = is_taken | has_failed | (dd == 0)
        of_gradient, of_last = where(is_new, zero - 1, zero), where(is_new, where(is_good, beta, zero), zero + 1)
        is_good = cast(is_good & ~has_failed, is_conjugate)
        of_last = where(has_failed, zero, of_last)
        return stack([of_gradient, of_last], products), gg, where(is_new, is_good, is_conjugate)

    def is_steepest(self, state):
        return state["is_conjugate"] == 0


def _polak_ribiere_plus(before, gg, gy, gd, yy, yd, dd):
    return larger(0 * gg, gy / before)


def _fletcher_reeves(before, gg, gy, gd, yy, yd, dd):
    return gg / before


def _hestenes_stiefel(before, gg, gy, gd, yy, yd, dd):
    return larger(0 * gg, gy / yd)


def _dai_yuan(before, gg, gy, gd, yy, yd, dd):
    return gg / yd


def _hager_zhang(before, gg, gy, gd, yy, yd, dd):
    least = -1 / (sqrt(dd) * smaller(LENGTHS + 0 * gg, sqrt(before)))
    return larger((gy - 2 * gd * yy / yd) / yd, least)


BETAS = {
    "polak_ribiere_plus": _polak_ribiere_plus,
    "fletcher_reeves": _fletcher_reeves,
    "hestenes_stiefel": _hestenes_stiefel,
    "dai_yuan": _dai_yuan,
    "hager_zhang": _hager_zhang,
}
