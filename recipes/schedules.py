"""The learning-rate schedules that `--schedule` takes. All count updates."""

from recipes.errors import CommandError
from recipes.nearest import unknown

SCHEDULES = ("constant", "warmup_cosine", "inverse_time:DECAY")


def parse_schedule(text):
    """`"inverse_time:0.01"` as `("inverse_time", 0.01)`, `"constant"` as `("constant", None)`.

    Raises:
        CommandError: there is no such schedule, or its parameter is no number > 0.
    """
    name, colon, parameter = text.partition(":")
    names = [known.partition(":")[0] for known in SCHEDULES]
    if name not in names:
        raise CommandError(f"--schedule: {unknown('schedule', name, names)}")
    if name != "inverse_time":
        if colon:
            raise CommandError(f"--schedule {text}: {name} has no parameter")
        return name, None
    try:
        decay = float(parameter)
    except ValueError:
        decay = float("nan")
    if not 0 < decay < float("inf"):
        raise CommandError(f"--schedule {text}: write a decay > 0 behind the name, such as inverse_time:0.01")
    return name, decay


def has_horizon(text):
    """Whether the schedule depends on how many updates the run makes in all."""
    return parse_schedule(text)[0] == "warmup_cosine"


def make_schedule(text, highest, updates):
    """Build a learning rate.

    ```python
    constant:         highest
    warmup_cosine:    from highest / 10 in a line over the first tenth of the updates, then along a cosine to 0
    inverse_time:d    highest / (1 + d * update)        # Keras 2's `decay=d`
    ```

    Args:
        text: as `parse_schedule` takes it.
        highest: float > 0, the highest learning rate.
        updates: int, number of updates of the run.

    Returns:
        A float or a `keras.optimizers.schedules.LearningRateSchedule`.
    """
    from keras.optimizers import schedules

    name, decay = parse_schedule(text)
    if name == "constant":
        return highest
    if name == "inverse_time":
        return schedules.InverseTimeDecay(highest, decay_steps=1, decay_rate=decay)
    warmup = updates // 10
    return schedules.CosineDecay(highest / 10, updates - warmup, warmup_target=highest, warmup_steps=warmup)
