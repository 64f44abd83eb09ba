import keras
from keras import ops

from custom_optimizers.arguments import number_in
from custom_optimizers.descent import Descent


@keras.saving.register_keras_serializable(package="custom_optimizers")
class OptimisticGD(Descent):
    """Optimistic gradient descent, made for games: it steps as if the gradient went on changing as it just did.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    ahead = g + optimism * (g - previous)           # at the first update previous is g
    velocity = momentum * velocity - learning_rate * ahead
    w = w + velocity
    previous = g
    ```

    On min_x max_y x y, where gradient descent spirals outwards, it converges. With an optimizer for each player it is
    the "optimistic mirror descent" of GANs.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable without arguments.
        momentum: float in (-1, 1). In games it is 0 or negative (Gidel et al. 2019).
        optimism: float >= 0, how much of the last change is expected once more. 0 is `BatchGD`, 1 the paper's.
        kwargs: the other arguments of `Descent`: accumulation, clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range.

    References:
        Daskalakis, Ilyas, Syrgkanis and Zeng, Training GANs with optimism, 2018, arXiv:1711.00141.
        Gidel et al., Negative momentum for improved game dynamics, 2019, arXiv:1807.04740.

    Example:

    >>> import keras
    >>> from custom_optimizers import OptimisticGD
    >>> w, optimizer = keras.Variable([0.0]), OptimisticGD(learning_rate=1.0)
    >>> for gradient in (1.0, 3.0):
    ...     optimizer.apply([keras.ops.array([gradient])], [w])
    >>> float(w[0])  # -1 - (2 * 3 - 1)
    -6.0
    """

    arguments = ("momentum", "optimism")

    def __init__(self, learning_rate=0.01, momentum=0.0, optimism=1.0, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = number_in("OptimisticGD", "momentum", momentum, above=-1, below=1)
        self.optimism = number_in("OptimisticGD", "optimism", optimism, least=0)

    @property
    def slot_names(self):
        return ("previous", "velocity") if self.momentum else ("previous",)

    def share(self, gradients, variables, learning_rate):
        return (ops.cast(ops.equal(self.iterations, 0), "float32"),)

    def rule(self, gradient, slots, learning_rate, is_first):
        previous = slots[0] + gradient * is_first  # the slot is 0 at first
        step = (gradient * (1 + self.optimism) - previous * self.optimism) * learning_rate
        if not self.momentum:
            return -step, (gradient,)
        velocity = slots[1] * self.momentum - step
        return velocity, (gradient, velocity)
