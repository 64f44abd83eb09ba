import keras
import numpy as np

from custom_optimizers.arguments import count
from custom_optimizers.backend import backend_module
from custom_optimizers.directions.direction import BY_DECREASE, Direction
from custom_optimizers.either import (
    added_if,
    cast,
    dot,
    isfinite,
    positions,
    reshape,
    side_by_side,
    sqrt,
    stack,
    transpose,
    unstack,
    where,
    with_row,
    zeros_like,
)

WAITING = 8  # pairs that wait until the matrix is written
FEW = "scale", "diagonal", "mix"  # what H is made of, beside the matrix and the rows


class DenseDirection(Direction):
    """Base class of quasi-Newton directions that keep an inverse Hessian H as a matrix.

    ```python
    d = -H @ g
    h = H @ y
    H = scale * H + a * outer(s, s) + b * (outer(s, h) + outer(h, s)) + c * outer(h, h)
    ```

    H begins as the identity; `s` is the last step and `y` the change of the gradient. A subclass says the four numbers
    in `factors`.

    The cost is that of reading a matrix from memory, so it is read once for an update, and written once in eight: what
    the last pairs have added waits beside it,

    ```python
    H = scale * inverse + diagonal * I + rows.T @ mix @ rows         # two rows for each pair that waits, s and h
    ```

    and is added to it in one product. `H @ y` is the difference of `H @ g` and of what the last direction tells, and
    the product with the new H follows from that with the old one.

    A pair whose `s @ y` is not above a rounding of `norm(s) * norm(y)` is left out, so that H stays positive definite.
    Where rounding makes a direction that does not descend nevertheless, H is the identity again.

    Args:
        max_parameters: int >= 1, the most parameters that a model may have.
    """

    arguments = ("max_parameters",)
    first_step = BY_DECREASE
    matrices = ("inverse", "rows")

    def __init__(self, max_parameters=10_000):
        self.max_parameters = count(self.owner, "max_parameters", max_parameters)

    @property
    def owner(self):
        """The name of the optimizer that it is the direction of."""
        return type(self).__name__.removesuffix("Direction")

    def initial_state(self, size, dtype="float32"):
        if size > self.max_parameters:
            gigabytes = size**2 * np.dtype(dtype).itemsize / 1e9
            raise ValueError(
                f"{self.owner} keeps a row and a column of a matrix for each of the {size:,} trained parameters, which "
                f"are {gigabytes:,.1f} GB in {dtype}, and `max_parameters` is {self.max_parameters:,}: raise it, or "
                "take LBFGS, which keeps a few vectors."
            )
        shapes = {"inverse": (size, size), "rows": (2 * WAITING, size), "mix": (2 * WAITING, 2 * WAITING)}
        shapes |= {"scale": (), "diagonal": (), "last": (size,)}
        zeros = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
        return {**zeros, "pairs": np.zeros((), "int32")}  # without pairs, H is the identity, whatever the others are

    def next(self, state, gradient, step, change, is_taken, has_failed):
        pairs, last, mix = state["pairs"], state["last"], state["mix"]
        known = tuple(state[name] for name in FEW)
        # The matrix is written before it is read: else XLA copies it in each pass.
        is_full = (pairs > 0) & (pairs % WAITING == 0)
        inverse = added_if(is_full, state["inverse"], *known, state["rows"])
        alone = zeros_like(known[0]) + 1, zeros_like(known[1]), zeros_like(mix)
        scale, diagonal, mix = (where(is_full, *each) for each in zip(alone, known, strict=True))
        waiting = dot(dot(mix, dot(state["rows"], gradient)), state["rows"])
        by_gradient = where(pairs == 0, gradient, scale * dot(inverse, gradient) + diagonal * gradient + waiting)
        by_change = by_gradient + last  # `last` is -H times the gradient before
        vectors = side_by_side([step, change, gradient, last, by_change])
        size = zeros_like(pairs) + gradient.shape[0]
        given = pairs, scale, diagonal, mix, size, dot(vectors, transpose(vectors)), is_taken, has_failed
        row, is_kept, along, pairs, *known = backend_module().of_few(self, "coefficients", *given)
        rows = with_row(with_row(state["rows"], row, step, is_kept), row + 1, by_change, is_kept)
        along = dot(along, side_by_side([gradient, by_gradient, step, by_change]))
        is_turned = ~(dot(along, gradient) < 0)
        along = where(is_turned, -gradient, along)
        pairs = where(is_turned, zeros_like(pairs), pairs)
        known = dict(zip(FEW, known, strict=True))
        return {"inverse": inverse, "rows": rows, "last": along, "pairs": pairs, **known}, along

    @np.errstate(all="ignore")
    def coefficients(self, pairs, scale, diagonal, mix, size, products, is_taken, has_failed):
        """What is computed of numbers alone.

        Args:
            pairs: int, how many pairs H has been made of.
            scale, diagonal, mix: what H is made of, as above.
            size: int, the number of rows of H.
            products: `(5, 5)`, the products of `s`, `y`, the gradient, the last direction and `H @ y` with each other.
            is_taken, has_failed: conditions, as in `next`.

        Returns:
            `(row, is_kept, along, pairs, scale, diagonal, mix)`: the row of `s`, which that of `h` follows; whether the
            pair is kept; the four numbers that the gradient, `H @ g`, `s` and `H @ y` are multiplied by for the
            direction, with H as it was; and what H is made of with the new pair.
        """
        (ss, sy, sg, sd, _), (_, yy, _, _, yh), (_, _, _, _, gh), (_, _, _, dd, _), _ = map(unstack, unstack(products))
        is_first, one, zero = pairs == 0, zeros_like(sy) + 1, zeros_like(sy)
        sbs = (sd / dd) * (sy - sg)  # s @ inv(H) @ s, since s = t * d and inv(H) @ d = -(g - y)
        factor, a, b, c = self.factors(sy, yh, sbs, is_first, cast(size, sy))
        is_kept = is_taken & (sy > self.rounding_of(sy) * sqrt(ss) * sqrt(yy)) & (yh > 0) & (sbs > 0)
        is_kept = is_kept & isfinite(factor) & isfinite(a) & isfinite(b) & isfinite(c)
        factor, a, b, c = (where(is_kept, *each) for each in ((factor, one), (a, zero), (b, zero), (c, zero)))
        along = [zero, -factor, -(a * sg + b * gh), -(b * sg + c * gh)]
        along = [where(has_failed, *each) for each in zip((-one, zero, zero, zero), along, strict=True)]
        row, places = 2 * (pairs % WAITING), positions(mix)
        at = side_by_side([cast(places == row, mix), cast(places == row + 1, mix)])
        inner = reshape(stack([a, b, b, c], products), (2, 2))
        identity = zip((zero, one, zeros_like(mix)), (scale, diagonal, mix), strict=True)
        scale, diagonal, mix = (factor * where(is_first, *each) for each in identity)
        pairs = where(has_failed, zeros_like(pairs), pairs + cast(is_kept, pairs))
        return row, is_kept, stack(along, products), pairs, scale, diagonal, mix + dot(transpose(at), dot(inner, at))

    def factors(self, sy, yh, sbs, is_first, size):
        """The factors `(scale, a, b, c)` of the formula above, a tuple of numbers.

        Args:
            sy: number > 0, `s @ y`.
            yh: number > 0, `y @ H @ y`.
            sbs: number > 0, `s @ inv(H) @ s`.
            is_first: condition, whether H is the identity, which has no scale of its own.
            size: number >= 1, the number of rows of H.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `factors` method.")

    @staticmethod
    def rounding_of(number):
        """The distance from 1 to the next number of a dtype, a float."""
        return float(np.finfo(keras.backend.standardize_dtype(number.dtype)).eps)

    def is_steepest(self, state):
        return state["pairs"] == 0
