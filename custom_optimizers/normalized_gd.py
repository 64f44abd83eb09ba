import keras
from keras import ops

from custom_optimizers.arguments import number_in, one_of, positive
from custom_optimizers.clipping.norms import global_norm
from custom_optimizers.descent import Descent
from custom_optimizers.dtypes import wide_dtype


@keras.saving.register_keras_serializable(package="custom_optimizers")
class NormalizedGD(Descent):
    """Normalised gradient descent with momentum: steps of one length, however large the gradient is.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    velocity = momentum * velocity + (1 - momentum) * g
    w = w - learning_rate * velocity / (norm(all velocities) + eps)     # per="model"
    w = w - learning_rate * velocity / (norm(velocity) + eps)           # per="variable"
    ```

    The learning rate is the length of a step, in units of the weights. It has to fall for the weights to converge.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable without arguments.
        momentum: float in [0, 1).
        per: "model" keeps the direction of the whole velocity, "variable" moves each variable by the same length.
        eps: float > 0, in units of the gradient's norm.
        kwargs: the other arguments of `Descent`: accumulation, clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range.

    References:
        Hazan, Levy and Shalev-Shwartz, Beyond convexity: stochastic quasi-convex optimization, 2015, arXiv:1507.02030.
        Cutkosky and Mehta, Momentum improves normalized SGD, 2020, arXiv:2002.03305.
        Jelassi et al., Dissecting adaptive methods in GANs, 2022, arXiv:2210.04319 (per variable).

    Example:

    >>> import keras
    >>> from custom_optimizers import NormalizedGD
    >>> w = keras.Variable([0.0, 0.0])
    >>> NormalizedGD(learning_rate=0.1).apply([keras.ops.array([300.0, -400.0])], [w])
    >>> print(keras.ops.convert_to_numpy(w).round(6))
    [-0.06  0.08]
    """

    arguments = ("momentum", "per", "eps")

    def __init__(self, learning_rate=0.01, momentum=0.9, per="model", eps=1e-8, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = number_in("NormalizedGD", "momentum", momentum, least=0, below=1)
        self.per = one_of("NormalizedGD", "per", per, ("model", "variable"))
        self.eps = positive("NormalizedGD", "eps", eps)

    @property
    def slot_names(self):
        return ("velocity",) if self.momentum else ()

    @property
    def arithmetic(self):
        return self.per == "model"

    def share(self, gradients, variables, learning_rate):
        if self.per == "variable":
            return ()
        velocities = [self._wide_velocity(g, self.slots_of(v)) for g, v in zip(gradients, variables, strict=True)]
        return (1 / (global_norm(velocities) + self.eps),)

    def rule(self, gradient, slots, learning_rate, *over_norm):
        velocity = self._velocity(gradient, slots)
        (factor,) = over_norm or (1 / (global_norm([velocity]) + self.eps),)
        return -(velocity * (factor * learning_rate)), (velocity,) if self.momentum else ()

    def _wide_velocity(self, gradient, slots):
        dtype = wide_dtype(gradient, *slots)
        return self._velocity(ops.cast(gradient, dtype), [ops.cast(slot, dtype) for slot in slots])

    def _velocity(self, gradient, slots):
        return slots[0] * self.momentum + gradient * (1 - self.momentum) if self.momentum else gradient
