import keras
from keras import ops

from custom_optimizers.arguments import count, number_in, one_of, positive
from custom_optimizers.schedules.schedule import Schedule, length, updates_in
from custom_optimizers.schedules.shapes import SHAPES, between


@keras.saving.register_keras_serializable(package="custom_optimizers")
class WarmupStableDecay(Schedule):
    """Rises in a line, stays at the peak, and falls at the end.

    ```python
    factor = start + (1 - start) * update / warmup      # update < warmup
    factor = 1
    factor = final + (1 - final) * shape(z)             # z = (update - (horizon - decay)) / decay, z > 0
    shape(z) = 1 - sqrt(z)                              # "1-sqrt"
    shape(z) = (1 + cos(pi * z)) / 2                    # "cosine"
    shape(z) = 1 - z                                    # "linear"
    ```

    The decay is a part of its own, so that a run can be made longer: go on from a checkpoint before the decay.

    Args:
        learning_rate: float > 0, the peak.
        horizon: int > 0, updates in all.
        warmup: int >= 0, updates; or float in [0, 1], share of the horizon, rounded down to whole updates.
        decay: as `warmup`; together they fit into the horizon.
        shape: "1-sqrt", "cosine" or "linear".
        start: float in [0, 1], share of the peak at the first update. 0 would waste it: with a full batch behind each
            update, a pass over the whole training set.
        final: float in [0, 1], share of the peak at the horizon.

    Raises:
        ValueError: an argument is out of its range.

    References:
        Hu et al., MiniCPM: unveiling the potential of small language models with scalable training strategies, 2024,
        arXiv:2404.06395.
        Hägele et al., Scaling laws and compute-optimal training beyond fixed training durations, 2024,
        arXiv:2405.18392 (1-sqrt).

    Example:

    >>> from custom_optimizers.schedules import WarmupStableDecay
    >>> schedule = WarmupStableDecay(1.0, horizon=100, warmup=0.1, decay=0.2, shape="linear")
    >>> [round(float(schedule(update)), 3) for update in (0, 10, 80, 90, 100)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """

    arguments = ("learning_rate", "horizon", "warmup", "decay", "shape", "start", "final")

    def __init__(self, learning_rate, horizon, warmup=0.1, decay=0.2, shape="1-sqrt", start=0.1, final=0.0):
        self.learning_rate = positive("WarmupStableDecay", "learning_rate", learning_rate)
        self.horizon = count("WarmupStableDecay", "horizon", horizon)
        self.warmup = length("WarmupStableDecay", "warmup", warmup)
        self.decay = length("WarmupStableDecay", "decay", decay)
        self.shape = one_of("WarmupStableDecay", "shape", shape, tuple(SHAPES))
        self.start = number_in("WarmupStableDecay", "start", start, least=0, most=1)
        self.final = number_in("WarmupStableDecay", "final", final, least=0, most=1)
        if sum(updates_in(part, self.horizon) for part in (self.warmup, self.decay)) > self.horizon:
            raise ValueError(
                f"WarmupStableDecay: `warmup` and `decay` together must be in [0, {horizon}], the horizon, in updates. "
                f"Received: warmup={warmup!r}, decay={decay!r}"
            )

    def factor(self, update, horizon):
        warmup, decay = updates_in(self.warmup, horizon), updates_in(self.decay, horizon)
        factor = ops.ones_like(update)
        if warmup:
            factor = ops.minimum(factor, self.start + (1 - self.start) * update / warmup)
        if decay:
            fall = SHAPES[self.shape]((update - (horizon - decay)) / decay)
            factor = ops.minimum(factor, between(1.0, self.final, fall))
        return factor
