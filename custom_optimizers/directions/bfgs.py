import keras

from custom_optimizers.directions.dense import DenseDirection


@keras.saving.register_keras_serializable(package="custom_optimizers")
class BFGSDirection(DenseDirection):
    """The direction of BFGS: the gradient times an inverse Hessian that all steps have told of.

    ```python
    d = -H @ g
    V = I - outer(y, s) / (s @ y)
    H = V.T @ H @ V + outer(s, s) / (s @ y)
    ```

    Args:
        max_parameters: int >= 1, the most parameters that a model may have.

    Reference:
        Nocedal and Wright, Numerical Optimization, 2006, formula 6.17.
    """

    def factors(self, sy, yh, sbs, is_first, size):
        zero = 0 * sy
        return 1 + zero, (1 + yh / sy) / sy, -1 / sy, zero
