import keras

from custom_optimizers.arguments import number_in
from custom_optimizers.descent import Descent


@keras.saving.register_keras_serializable(package="custom_optimizers")
class AggregatedMomentum(Descent):
    """Aggregated momentum (AggMo): the mean of several velocities, each with a momentum of its own.

    Update rule for a parameter `w` with the gradient `g` of the full batch:

    ```python
    velocities = [momentum * v - g for momentum, v in zip(momenta, velocities)]
    w = w + learning_rate * mean(velocities)
    ```

    Where a large momentum alone oscillates, the small ones damp it. Each momentum but 0 keeps a variable of the size of
    the model.

    Args:
        learning_rate: float > 0, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable without arguments.
        momenta: list of floats in [0, 1), one at least.
        kwargs: the other arguments of `Descent`: accumulation, clipping, decay, rates by path.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Lucas, Sun, Zemel and Grosse, Aggregated momentum: stability through passive damping, 2018, arXiv:1804.00325.

    Example:

    >>> import keras
    >>> from custom_optimizers import AggregatedMomentum
    >>> w, optimizer = keras.Variable([0.0]), AggregatedMomentum(learning_rate=1.0, momenta=[0.0, 0.5])
    >>> for _ in range(2):
    ...     optimizer.apply([keras.ops.array([1.0])], [w])
    >>> float(w[0])  # -(1 + 1) / 2 - (1 + 1.5) / 2
    -2.25
    """

    arguments = ("momenta",)

    def __init__(self, learning_rate=0.01, momenta=(0.0, 0.9, 0.99), **kwargs):
        super().__init__(learning_rate, **kwargs)
        if not isinstance(momenta, (list, tuple)) or not momenta:
            raise ValueError(
                f"AggregatedMomentum: `momenta` must be a list of numbers in [0, 1). Received: momenta={momenta!r}"
            )
        self.momenta = [number_in("AggregatedMomentum", "momenta", m, least=0, below=1) for m in momenta]

    @property
    def slot_names(self):
        return tuple(f"velocity_{i}" for i, momentum in enumerate(self.momenta) if momentum)

    def rule(self, gradient, slots, learning_rate):
        kept = [momentum for momentum in self.momenta if momentum]
        velocities = [slot * momentum - gradient for slot, momentum in zip(slots, kept, strict=True)]
        total = -gradient * (len(self.momenta) - len(kept))  # a momentum of 0 needs no slot
        for velocity in velocities:
            total = total + velocity
        return total * learning_rate / len(self.momenta), tuple(velocities)
