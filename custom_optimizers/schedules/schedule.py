import keras
from keras import ops

from custom_optimizers import declarations
from custom_optimizers.arguments import is_number, is_whole


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate as a share of its peak, which depends on the update and on how many there will be.

    ```python
    learning_rate * factor(update, horizon)
    ```

    Keras calls a schedule with the number of updates made so far: 0 for the first. A run of `horizon` updates uses the
    updates 0 to `horizon - 1`; the value at `horizon` is held from there on.

    To write one: set the config as attributes of the same names as the arguments of `__init__`, list those names in
    `arguments`, implement `factor`, and register the class with
    `keras.saving.register_keras_serializable(package="custom_optimizers")`. A schedule made of others implements
    `__call__` instead, and has their configs in its own (`config_of`).
    """

    arguments = ()  # names of the arguments of `__init__`, which are attributes too
    horizon = None  # int, or None for a rule that never ends

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        declarations.check(cls, Schedule, ("arguments",))

    def factor(self, update, horizon):
        """The share of the peak. A pure function.

        Args:
            update: float tensor of any shape, updates made so far.
            horizon: int, updates in all; None for a rule that never ends.

        Returns:
            A tensor of the same shape, in [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} has no `factor` method.")

    def __call__(self, step):
        return self.learning_rate * self.factor(as_float(step), self.horizon)

    def get_config(self):
        return {name: config_of(getattr(self, name)) for name in self.arguments}

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), str(self.get_config())))

    def __repr__(self):
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.arguments)
        return f"{type(self).__name__}({given})"


def as_float(step):
    """`step` as a tensor of float32 or floatx, whichever is wider: float16 counts to 2048 only."""
    return ops.cast(step, keras.backend.result_type(keras.config.floatx(), "float32"))


def updates_in(length, horizon):
    """A length in updates: itself if it is a whole number; a share of the horizon rounds down."""
    return int(length) if is_whole(length) else int(length * horizon + 1e-9)  # 0.29 * 100 is a little below 29


def value_at(rate, step):
    """The learning rate at `step` of a schedule, or of a float."""
    return rate(step) if callable(rate) else ops.full_like(as_float(step), rate)


def config_of(value):
    """`value` as JSON has it: schedules, also in a list, become their serialised configs."""
    if isinstance(value, list):
        return [config_of(item) for item in value]
    return keras.saving.serialize_keras_object(value) if callable(value) else value


def rate(owner, name, value):
    """Return `value` as a schedule or a float > 0, or raise a ValueError that names the argument."""
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return value
    if not is_number(value) or value <= 0:
        raise ValueError(
            f"{owner}: `{name}` must be a LearningRateSchedule or a finite number > 0. Received: {name}={value!r}"
        )
    return float(value)


def length(owner, name, value):
    """A number of updates as an int, or a share of the horizon as a float; a ValueError for anything else."""
    if not is_number(value) or not 0 <= value <= (2**31 - 1 if is_whole(value) else 1):
        raise ValueError(
            f"{owner}: `{name}` must be an int >= 0 and < 2**31 (updates) or a float in [0, 1] (share of the horizon). "
            f"Received: {name}={value!r}"
        )
    return int(value) if is_whole(value) else float(value)
