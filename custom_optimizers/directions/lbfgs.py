import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import count
from custom_optimizers.backend import backend_module
from custom_optimizers.directions.direction import Direction


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
    forty that wait for each other.

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

    def of(self, state, gradient):
        dot, pairs = backend_module().dot, state["pairs"]
        order, places = self._order(pairs)
        by_steps, by_changes = (ops.take(dot(state[name], gradient), order) for name in ("steps", "changes"))
        products, squares = (ops.take(ops.take(state[n], order, 0), order, 1) for n in ("products", "squares"))
        is_known = places < ops.minimum(pairs, self.history)
        diagonal = ops.diag(products)
        scale = ops.where(pairs > 0, diagonal[-1] / squares[-1, -1], ops.ones_like(diagonal[-1]))
        triangle = ops.triu(products) + ops.diag(ops.cast(ops.logical_not(is_known), products.dtype))
        a = ops.solve_triangular(triangle, by_steps)
        right = diagonal * a + scale * (dot(squares, a) - by_changes)
        b = ops.solve_triangular(ops.transpose(triangle), right, lower=True)
        back = (ops.arange(self.history, dtype="int32") - pairs) % self.history
        a, b = ops.take(a, back), ops.take(b, back)
        along = dot(b, state["steps"]) - scale * dot(a, state["changes"])
        return -(scale * gradient + along)

    def _order(self, pairs):
        """`(rows of the pairs, the oldest first, how many pairs are newer)`; rows without a pair are the first ones."""
        numbers = ops.arange(self.history, dtype="int32")
        return (numbers + pairs) % self.history, self.history - 1 - numbers

    def learn(self, state, step, change, is_taken):
        dot, row = backend_module().dot, state["pairs"] % self.history
        product, square = dot(step, change), dot(change, change)
        least = float(np.finfo(keras.backend.standardize_dtype(step.dtype)).eps)
        is_convex = product > least * ops.sqrt(dot(step, step)) * ops.sqrt(square)
        is_kept = ops.logical_and(is_taken, is_convex)
        steps, changes = (_with_row(state[n], row, v, is_kept) for n, v in (("steps", step), ("changes", change)))
        products = _with_column(state["products"], row, dot(steps, change), is_kept)
        with_newest = dot(changes, change)
        squares = _with_row(_with_column(state["squares"], row, with_newest, is_kept), row, with_newest, is_kept)
        pairs = state["pairs"] + ops.cast(is_kept, "int32")
        return {"steps": steps, "changes": changes, "products": products, "squares": squares, "pairs": pairs}

    def forget(self, state, when):
        return {name: ops.where(when, ops.zeros_like(value), value) for name, value in state.items()}

    def is_steepest(self, state):
        return ops.equal(state["pairs"], 0)


def _with_row(matrix, row, values, when):
    values = ops.where(when, values, ops.take(matrix, row, axis=0))
    return ops.scatter_update(matrix, ops.reshape(row, (1, 1)), values[None])


def _with_column(matrix, column, values, when):
    return ops.transpose(_with_row(ops.transpose(matrix), column, values, when))
