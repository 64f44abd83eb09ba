import keras

from custom_optimizers.arguments import number_in
from custom_optimizers.descent import Descent


@keras.saving.register_keras_serializable(package="custom_optimizers")
class QuasiHyperbolic(Descent):
    """Quasi-hyperbolic momentum (QHM): an average of a step of gradient descent and one of momentum.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    velocity = momentum * velocity + (1 - momentum) * g
    w = w - learning_rate * ((1 - nu) * g + nu * velocity)
    ```

    `nu=0` is gradient descent, `nu=1` momentum whose gradients are averaged, and `nu=momentum` Nesterov momentum; the
    latter two with a learning rate that is 1 / (1 - momentum) times that of `BatchGD`.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable without arguments.
        momentum: float in [0, 1).
        nu: float in [0, 1], the share of momentum. The paper's rule of thumb is 0.7 with momentum 0.999.
        kwargs: the other arguments of `Descent`: accumulation, clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Ma and Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2018, arXiv:1810.06801.

    Example:

    >>> import keras
    >>> from custom_optimizers import QuasiHyperbolic
    >>> w = keras.Variable([1.0])
    >>> QuasiHyperbolic(learning_rate=1.0, momentum=0.5, nu=0.5).apply([keras.ops.array([1.0])], [w])
    >>> float(w[0])  # 1 - (0.5 * 1 + 0.5 * 0.5)
    0.25
    """

    arguments = ("momentum", "nu")
    slot_names = ("velocity",)

    def __init__(self, learning_rate=0.01, momentum=0.999, nu=0.7, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = number_in("QuasiHyperbolic", "momentum", momentum, least=0, below=1)
        self.nu = number_in("QuasiHyperbolic", "nu", nu, least=0, most=1)

    def rule(self, gradient, slots, learning_rate):
        velocity = slots[0] * self.momentum + gradient * (1 - self.momentum)
        step = gradient * (1 - self.nu) + velocity * self.nu
        return -(step * learning_rate), (velocity,)
