import keras
from keras import ops

from custom_optimizers.arguments import count, number_in
from custom_optimizers.schedules.schedule import Schedule, as_float, rate, value_at


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Warmup(Schedule):
    """Rises in a line to where another schedule begins, which then counts from its own beginning.

    ```python
    rate = schedule(0) * (start + (1 - start) * update / updates)       # update < updates
    rate = schedule(update - updates)
    ```

    Args:
        schedule: a `keras.optimizers.schedules.LearningRateSchedule`, or float > 0, a constant rate.
        updates: int > 0, length of the rise.
        start: float in [0, 1], share of `schedule(0)` at the first update. 0 would waste it: with a full batch behind
            each update, a pass over the whole training set.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Goyal et al., Accurate, large minibatch SGD: training ImageNet in 1 hour, 2017, arXiv:1706.02677.

    Example:

    >>> import keras
    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.schedules import Warmup
    >>> schedule = Warmup(keras.optimizers.schedules.CosineDecay(1.0, decay_steps=90), updates=10)
    >>> [round(float(schedule(update)), 3) for update in (0, 5, 10, 55, 100)]
    [0.1, 0.55, 1.0, 0.5, 0.0]
    >>> optimizer = BatchGD(schedule, momentum=0.9)
    """

    arguments = ("schedule", "updates", "start")

    def __init__(self, schedule, updates, start=0.1):
        self.schedule = rate("Warmup", "schedule", schedule)
        self.updates = count("Warmup", "updates", updates)
        self.start = number_in("Warmup", "start", start, least=0, most=1)

    def __call__(self, step):
        step = ops.convert_to_tensor(step)
        rising = self.start + (1 - self.start) * as_float(step) / self.updates
        first = value_at(self.schedule, ops.zeros_like(step))
        after = value_at(self.schedule, ops.maximum(step - self.updates, 0))
        return ops.where(step < self.updates, first * rising, after)
