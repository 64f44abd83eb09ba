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
    forty that wait for each other; each is with one vector, since one with two takes several times as long on a
    processor. What has `history` rows and columns is computed of few numbers, beside that. The inverse of R is
    remembered instead of R: a pair that comes adds a column to it, and one that goes takes a column.

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
        pairs, least = state["pairs"], float(np.finfo(keras.backend.standardize_dtype(gradient.dtype)).eps)
        is_kept = dot(step, change) > least * sqrt(dot(step, step)) * sqrt(dot(change, change))
        is_kept, row = is_taken & is_kept, pairs % self.history
        # What reads a matrix comes after the row is written: else XLA copies it in each pass.
        steps = with_row(state["steps"], row, step, is_kept)
        changes = with_row(state["changes"], row, change, is_kept)
        found = [dot(matrix, vector) for matrix in (steps, changes) for vector in (change, gradient)]
        few = {name: state[name] for name in ("inverse", "squares", "diagonal", "pairs")}
        *after, a, b, scale = backend_module().of_few(
            self, "coefficients", *few.values(), side_by_side(found, axis=1), is_kept, has_failed
        )
        along = dot(a, changes) - scale * gradient - dot(b, steps)
        return {"steps": steps, "changes": changes, **dict(zip(few, after, strict=True))}, along

    def coefficients(self, inverse, squares, diagonal, pairs, found, is_kept, has_failed):
        """What is computed of numbers alone.

        Args:
            inverse: `(history, history)`, that of R. Here and below, the last row and column are of the newest pair,
                and where there are no pairs yet, there are zeros.
            squares: `(history, history)`, `Y.T @ Y`.
            diagonal: `(history,)`, D.
            pairs: int, how many have been remembered so far.
            found: `(history, 4)`, products of S with the new change and the gradient, and those of Y, each in the row
                that its pair has in the state.
            is_kept: condition, whether there is a new pair, which is in `found` and not yet in what stands before it.
            has_failed: as in `next`.

        Returns:
            `(inverse, squares, diagonal, pairs, a, b, scale)`: the first four with the new pair in them, and what the
            direction is made of: `d = a @ Y - scale * g - b @ S`, with `a` and `b` in the order of the rows of the
            state.
        """
        m, places = self.history, positions(diagonal)
        pairs = where(has_failed, zeros_like(pairs), pairs + cast(is_kept, pairs))
        found = take(found, (places + pairs) % m)  # the oldest first; rows that have no pair come before
        found = where((places >= m - pairs)[:, None], found, zeros_like(found))
        with_new = _with_pair(inverse, squares, diagonal, found[:, 0], found[:, 2])
        known = [
            where(is_kept, after, where(has_failed, zeros_like(before), before))
            for before, after in zip((inverse, squares, diagonal), with_new, strict=True)
        ]
        a, b, scale = _combined(*known, found[:, 1], found[:, 3], pairs)
        back = (places - pairs) % m
        return *known, pairs, take(a, back), take(b, back), scale

    def is_steepest(self, state):
        return state["pairs"] == 0


def _with_pair(inverse, squares, diagonal, by_steps, by_changes):
    """`(inverse, squares, diagonal)` without the oldest pair and with a new one.

    Args:
        inverse, squares, diagonal: as in `coefficients`.
        by_steps, by_changes: `(history,)`, products of S and Y with the new change, the new pair being the last.
    """
    kept, product = inverse[1:, 1:], by_steps[-1:]
    column = joined([-dot(kept, by_steps[:-1]), zeros_like(product) + 1]) / product
    inverse = joined([joined([kept, zeros_like(diagonal[None, 1:])]), column[:, None]], axis=1)
    squares = joined([joined([squares[1:, 1:], by_changes[None, :-1]]), by_changes[:, None]], axis=1)
    return inverse, squares, joined([diagonal[1:], product])


def _combined(inverse, squares, diagonal, by_steps, by_changes, pairs):
    """`(a, b, scale)` by the formula above: what Y and S are multiplied by, the oldest pair first."""
    scale = where(pairs > 0, diagonal[-1] / squares[-1, -1], cast(1, diagonal))
    a = dot(inverse, by_steps)
    b = dot(transpose(inverse), diagonal * a + scale * (dot(squares, a) - by_changes))
    return scale * a, b, scale
