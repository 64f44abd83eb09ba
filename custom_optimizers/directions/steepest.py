import keras

from custom_optimizers.directions.direction import BY_SLOPE, Direction


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Steepest(Direction):
    """The direction in which the loss falls most: that of gradient descent.

    ```python
    d = -g
    ```
    """

    first_step = BY_SLOPE

    def next(self, state, gradient, step, change, is_taken, has_failed):
        return state, -gradient
