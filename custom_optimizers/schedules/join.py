import keras
from keras import ops

from custom_optimizers.arguments import count
from custom_optimizers.schedules.schedule import Schedule, rate, value_at


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Join(Schedule):
    """One schedule after the other, each counting from its own beginning.

    ```python
    rate = schedules[0](update)                         # update < boundaries[0]
    rate = schedules[i](update - boundaries[i - 1])     # boundaries[i - 1] <= update < boundaries[i]
    ```

    Args:
        schedules: list of two or more, each a `keras.optimizers.schedules.LearningRateSchedule` or float > 0, a
            constant rate.
        boundaries: list of int > 0, one less than schedules, increasing: the updates at which the next begins.

    Raises:
        ValueError: an argument is out of its range.

    Example:

    >>> import keras
    >>> from custom_optimizers.schedules import Join
    >>> schedule = Join([1.0, keras.optimizers.schedules.CosineDecay(1.0, decay_steps=40)], boundaries=[60])
    >>> [round(float(schedule(update)), 3) for update in (0, 60, 80, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """

    arguments = ("schedules", "boundaries")

    def __init__(self, schedules, boundaries):
        if not isinstance(schedules, (list, tuple)) or len(schedules) < 2:
            raise ValueError(f"Join: `schedules` must be a list of two or more. Received: schedules={schedules!r}")
        self.schedules = [rate("Join", "schedules", schedule) for schedule in schedules]
        if not isinstance(boundaries, (list, tuple)) or len(boundaries) != len(schedules) - 1:
            raise ValueError(
                f"Join: `boundaries` must be a list of {len(schedules) - 1} for {len(schedules)} schedules. "
                f"Received: boundaries={boundaries!r}"
            )
        self.boundaries = [count("Join", "boundaries", boundary) for boundary in boundaries]
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(f"Join: `boundaries` must increase. Received: boundaries={boundaries!r}")

    def __call__(self, step):
        step = ops.convert_to_tensor(step)
        value = value_at(self.schedules[0], step)
        for schedule, boundary in zip(self.schedules[1:], self.boundaries, strict=True):
            after = value_at(schedule, ops.maximum(step - boundary, 0))
            value = ops.where(step < boundary, value, after)
        return value
