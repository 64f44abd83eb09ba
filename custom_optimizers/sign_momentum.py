import keras
from keras import ops

from custom_optimizers.arguments import number_in
from custom_optimizers.descent import Descent


@keras.saving.register_keras_serializable(package="custom_optimizers")
class SignMomentum(Descent):
    """The sign of the momentum (Signum): every entry moves by the learning rate, up or down.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    velocity = momentum * velocity + (1 - momentum) * g
    w = w - learning_rate * sign(velocity)
    ```

    An entry whose velocity is 0 stays. The learning rate is the step of an entry, in units of the weights, and has to
    fall for them to converge. `momentum=0` is sign descent. A clipper that scales all gradients of an update alike
    changes how much that update counts in the velocity beside the others; without momentum it changes nothing.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable without arguments.
        momentum: float in [0, 1).
        kwargs: the other arguments of `Descent`: accumulation, clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Bernstein, Wang, Azizzadenesheli and Anandkumar, signSGD: compressed optimisation for non-convex problems, 2018,
        arXiv:1802.04434.

    Example:

    >>> import keras
    >>> from custom_optimizers import SignMomentum
    >>> w = keras.Variable([0.0, 0.0, 0.0])
    >>> SignMomentum(learning_rate=0.5).apply([keras.ops.array([300.0, -0.1, 0.0])], [w])
    >>> keras.ops.convert_to_numpy(w).tolist()
    [-0.5, 0.5, 0.0]
    """

    arguments = ("momentum",)
    arithmetic = False

    def __init__(self, learning_rate=0.001, momentum=0.9, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = number_in("SignMomentum", "momentum", momentum, least=0, below=1)

    @property
    def slot_names(self):
        return ("velocity",) if self.momentum else ()

    def rule(self, gradient, slots, learning_rate):
        if not self.momentum:
            return -ops.sign(gradient) * learning_rate, ()
        velocity = slots[0] * self.momentum + gradient * (1 - self.momentum)
        return -ops.sign(velocity) * learning_rate, (velocity,)
