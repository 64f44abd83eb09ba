import keras

from custom_optimizers.directions.direction import Direction


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Steepest(Direction):
    """The direction in which the loss falls most: that of gradient descent.

    ```python
    d = -g
    ```
    """

    def of(self, state, gradient):
        return -gradient
