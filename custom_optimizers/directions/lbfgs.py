import keras
import numpy as np

from custom_optimizers.arguments import count
from custom_optimizers.backend import backend_module
from custom_optimizers.directions.direction import Direction
from custom_optimizers.either import (
    cast,
    dot,
    joined,
    positions,
    side_by_side,
    sqrt,
    take,
    transpose,
    where,
    with_row,
    zeros_like,
)


@keras.saving.register_keras_serializable(package="custom_optimizers")
class LBFGSDirection(Direction):
    """The direction of L-BFGS: the gradient times an inverse Hessian that the last steps tell of.

    ```python
    d = -H @ g
    H = scale * I + [S, scale * Y] @ M @ [S, scale * Y].T          # BFGS from scale * I with the last `history` pairs
    scale = (s @ y) / (y @ y)                                      # of the newest pair
    M = [[inv(R).T @ (D + scale * Y.T @ Y) @ inv(R), -inv(R).T],
         [-inv(R), 0]]
    ```

    The columns of S and Y are steps `s` and changes of the gradient `y`, the oldest first; R is the upper triangle of
    `S.T @ Y`, and D its diagonal. This is what the usual two loops compute, by two products with the pairs instead of
    forty that wait for each other. What has `history` rows and columns is computed of few numbers, beside that. The
    inverse of R is remembered instead of R: a pair that comes adds a column to it, and one that goes takes a column.

    A pair whose `s @ y` is not above a rounding of `norm(s) * norm(y)` is not remembered: H stays positive definite.

    Args:
        history: int >= 1, pairs that are remembered.

    Reference:
        Byrd, Nocedal and Schnabel, Representations of Quasi-Newton Matrices and Their Use in Limited Memory Methods,
        Mathematical Programming 63, 1994, theorem 2.2.
    """

    arguments = ("history",)

    def __init__(self, history=10):
        self.history = count("LBFGS", "history", history)

    def initial_state(self, size, dtype="float32"):
        m = self.history
        shapes = {"steps": (m, size), "changes": (m, size), "inverse": (m, m), "squares": (m, m), "diagonal": (m,)}
        return {**{name: np.zeros(shape, dtype) for name, shape in shapes.items()}, "pairs": np.zeros((), "int32")}

    def next(self, state, gradient, step, change, is_taken, has_failed):
        row = state["pairs"] % self.history
        pair = side_by_side([change, gradient], axis=1)  # (size, 2)
        found = joined([dot(state["steps"], pair), dot(state["changes"], pair)], axis=1)
        of_new = dot(side_by_side([step, change]), side_by_side([change, gradient, step], axis=1))
        few = {name: state[name] for name in ("inverse", "squares", "diagonal", "pairs")}
        *known, is_kept, a, b, scale = backend_module().of_few(
            self, "coefficients", *few.values(), found, of_new, is_taken, has_failed
        )
        steps = with_row(state["steps"], row, step, is_kept)
        changes = with_row(state["changes"], row, change, is_kept)
        along = dot(a, changes) - scale * gradient - dot(b, steps)
        return {"steps": steps, "changes": changes, **dict(zip(few, known, strict=True))}, along

    def coefficients(self, inverse, squares, diagonal, pairs, found, of_new, is_taken, has_failed):
        """What is computed of numbers alone.

        Args:
            inverse: `(history, history)`, that of R. Here and below, the last row and column are of the newest pair,
                and where there are no pairs yet, there are zeros.
            squares: `(history, history)`, `Y.T @ Y`.
            diagonal: `(history,)`, D.
            pairs: int, how many have been remembered so far.
            found: `(history, 4)`, products of S with the new change and the gradient, and those of Y, each in the row
                that its pair has in the state.
            of_new: `(2, 3)`, products of the new step and change with the new change, the gradient, and the new step.
            is_taken, has_failed: as in `next`.

        Returns:
            `(inverse, squares, diagonal, pairs, is_kept, a, b, scale)`: the first four with the new pair in them,
            whether it was remembered, and what the direction is made of: `d = a @ Y - scale * g - b @ S`, with `a` and
            `b` in the order of the rows of the state.
        """
        m, places = self.history, positions(diagonal)
        product, square = of_new[0, 0], of_new[1, 0]
        least = float(np.finfo(keras.backend.standardize_dtype(diagonal.dtype)).eps)
        is_kept = is_taken & (product > least * sqrt(of_new[0, 2]) * sqrt(square))
        pairs = where(has_failed, zeros_like(pairs), pairs + cast(is_kept, pairs))
        found = take(found, (places + pairs) % m)  # the oldest first; rows that have no pair come before
        found = where((places >= m - pairs)[:, None], found, zeros_like(found))
        newest = joined([of_new[0:1, :2], of_new[1:2, :2]], axis=1)
        found = where(is_kept, joined([found[:-1], newest]), found)
        with_new = self._with_pair(inverse, squares, diagonal, found[:, 0], found[:, 2], product)
        known = [
            where(is_kept, after, where(has_failed, zeros_like(before), before))
            for before, after in zip((inverse, squares, diagonal), with_new, strict=True)
        ]
        a, b, scale = _combined(*known, found[:, 1], found[:, 3], pairs)
        back = (places - pairs) % m
        return *known, pairs, is_kept, take(a, back), take(b, back), scale

    def _with_pair(self, inverse, squares, diagonal, by_steps, by_changes, product):
        """`(inverse, squares, diagonal)` without the oldest pair and with a new one.

        Args:
            inverse, squares, diagonal: as in `coefficients`.
            by_steps, by_changes: `(history,)`, products of S and Y with the new change, with the new pair in them.
            product: number, that of the new step and change.
        """
        kept, row = inverse[1:, 1:], zeros_like(diagonal[None, 1:])
        last = side_by_side([product])
        column = joined([-dot(kept, by_steps[:-1]), zeros_like(last) + 1])[:, None] / product
        inverse = joined([joined([kept, row]), column], axis=1)
        squares = joined([joined([squares[1:, 1:], by_changes[None, :-1]]), by_changes[:, None]], axis=1)
        return inverse, squares, joined([diagonal[1:], last])

    def is_steepest(self, state):
        return state["pairs"] == 0


def _combined(inverse, squares, diagonal, by_steps, by_changes, pairs):
    """`(a, b, scale)` by the formula above: what Y and S are multiplied by, the oldest pair first."""
    scale = where(pairs > 0, diagonal[-1] / squares[-1, -1], cast(1, diagonal))
    a = dot(inverse, by_steps)
    b = dot(transpose(inverse), diagonal * a + scale * (dot(squares, a) - by_changes))
    return scale * a, b, scale
