import keras

from custom_optimizers.directions.dense import DenseDirection
from custom_optimizers.either import where


@keras.saving.register_keras_serializable(package="custom_optimizers")
class BFGSDirection(DenseDirection):
    """The direction of BFGS: the gradient times an inverse Hessian that all steps have told of.

    ```python
    d = -H @ g
    V = I - outer(y, s) / (s @ y)
    H = V.T @ H @ V + outer(s, s) / (s @ y)
    ```

    Before the first pair the identity gets the scale of that pair, `(s @ y) / (y @ y)`.

    Args:
        max_parameters: int >= 1, the most parameters that a model may have.

    Reference:
        Nocedal and Wright, Numerical Optimization, 2006, formulas 6.17 and 6.20.
    """

    def factors(self, sy, yh, sbs, is_first, size):
        scale = where(is_first, sy / yh, 1 + 0 * sy)
        return scale, (1 + scale * yh / sy) / sy, -scale / sy, 0 * sy
