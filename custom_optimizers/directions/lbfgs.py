import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import count
from custom_optimizers.backend import backend_module
from custom_optimizers.directions.direction import Direction
from custom_optimizers.either import (
    cast,
    diag,
    dot,
    positions,
    solve_triangular,
    sqrt,
    take,
    transpose,
    triu,
    where,
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
    forty that wait for each other. What has `history` rows and columns is computed of few numbers, beside that.

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
        shapes = {"steps": (m, size), "changes": (m, size), "products": (m, m), "squares": (m, m)}
        return {**{name: np.zeros(shape, dtype) for name, shape in shapes.items()}, "pairs": np.zeros((), "int32")}

    def next(self, state, gradient, step, change, is_taken, has_failed):
        backend, row = backend_module(), state["pairs"] % self.history
        pair = ops.stack([change, gradient], axis=1)  # (size, 2)
        of_steps, of_changes = backend.dot(state["steps"], pair), backend.dot(state["changes"], pair)
        of_new = backend.dot(ops.stack([step, change]), ops.stack([change, gradient, step], axis=1))
        products, squares, pairs, is_kept, a, b, scale = backend.of_few(
            self, "coefficients", state["products"], state["squares"], state["pairs"],
            of_steps, of_changes, of_new, is_taken, has_failed,
        )  # fmt: skip
        steps = backend.with_row(state["steps"], row, step, is_kept)
        changes = backend.with_row(state["changes"], row, change, is_kept)
        along = -(scale * gradient + backend.dot(b, steps) - backend.dot(a, changes))
        after = {"steps": steps, "changes": changes, "products": products, "squares": squares, "pairs": pairs}
        return after, along

    def coefficients(self, products, squares, pairs, of_steps, of_changes, of_new, is_taken, has_failed):
        """What is computed of numbers alone.

        Args:
            products: `(history, history)`, `S.T @ Y`; of each pair with those that came after it.
            squares: `(history, history)`, `Y.T @ Y`.
            pairs: int, how many have been remembered so far.
            of_steps, of_changes: `(history, 2)`, products of S and Y with the new change and the gradient.
            of_new: `(2, 3)`, products of the new step and change with the new change, the gradient, and the new step.
            is_taken, has_failed: as in `next`.

        Returns:
            `(products, squares, pairs, is_kept, a, b, scale)`: the first three with the new pair in them, whether it
            was remembered, and what the direction is made of: `d = -(scale * g + b @ S - a @ Y)`.
        """
        m, places = self.history, positions(products)
        product, square = of_new[0, 0], of_new[1, 0]
        least = float(np.finfo(keras.backend.standardize_dtype(products.dtype)).eps)
        is_kept = is_taken & (product > least * sqrt(of_new[0, 2]) * sqrt(square))
        is_new = places == pairs % m
        with_change = where(is_new, product, of_steps[:, 0]), where(is_new, square, of_changes[:, 0])
        is_new = is_kept & is_new
        products = where(is_new[None, :], with_change[0][:, None], products)
        squares = where(is_new[None, :], with_change[1][:, None], where(is_new[:, None], with_change[1], squares))
        by_steps = where(is_new, of_new[0, 1], of_steps[:, 1])
        by_changes = where(is_new, of_new[1, 1], of_changes[:, 1])
        pairs = where(has_failed, zeros_like(pairs), pairs + cast(is_kept, pairs))
        return products, squares, pairs, is_kept, *self._combined(products, squares, pairs, by_steps, by_changes)

    def _combined(self, products, squares, pairs, by_steps, by_changes):
        """`(a, b, scale)` by the formula above."""
        m, places = self.history, positions(products)
        order = (places + pairs) % m  # the rows of the pairs, the oldest first
        is_known = places >= m - pairs  # in that order; rows that have no pair, or have been forgotten, come first
        by_steps, by_changes = (where(is_known, take(each, order), 0 * each) for each in (by_steps, by_changes))
        are_known = is_known[None, :] & is_known[:, None]
        products, squares = (
            where(are_known, take(take(each, order, 0), order, 1), zeros_like(each)) for each in (products, squares)
        )
        diagonal = diag(products)
        scale = where(pairs > 0, diagonal[-1] / squares[-1, -1], cast(1, squares))
        triangle = triu(products) + diag(cast(~is_known, products))
        a = solve_triangular(triangle, by_steps)
        b = solve_triangular(transpose(triangle), diagonal * a + scale * (dot(squares, a) - by_changes), lower=True)
        back = (places - pairs) % m
        return scale * take(a, back), take(b, back), scale

    def is_steepest(self, state):
        return ops.equal(state["pairs"], 0)
