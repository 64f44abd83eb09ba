import keras
from keras import ops

from custom_optimizers.arguments import count, number_in, positive
from custom_optimizers.schedules.schedule import Schedule, length, updates_in
from custom_optimizers.schedules.shapes import between, cosine


@keras.saving.register_keras_serializable(package="custom_optimizers")
class CosineRestarts(Schedule):
    """Falls along a cosine, and begins again from the peak, each time for `growth` times as long.

    ```python
    length = period * growth ** cycle                   # rounded down to whole updates
    z = (update - first_update_of_the_cycle) / length
    factor = final + (1 - final) * (1 + cos(pi * z)) / 2
    ```

    A cycle that reaches the horizon is the last one, and its value there is held. Cycles last whole updates, so that
    each begins at the peak. `keras.optimizers.schedules.CosineDecayRestarts` finds the cycle by a logarithm; where that
    is rounded down, a cycle begins with its lowest rate instead (with `first_decay_steps=10, t_mul=1.1` at update 21,
    Keras 3.15).

    Args:
        learning_rate: float > 0, the peak.
        horizon: int > 0, updates in all.
        period: length of the first cycle: int > 0, updates; or float in (0, 1], share of the horizon, rounded down to
            whole updates, at least one.
        growth: float >= 1, length of a cycle over that of the one before.
        final: float in [0, 1], share of the peak at the end of a cycle.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017, arXiv:1608.03983.

    Example:

    >>> from custom_optimizers.schedules import CosineRestarts
    >>> schedule = CosineRestarts(1.0, horizon=70, period=10, growth=2)
    >>> [round(float(schedule(update)), 3) for update in (0, 5, 10, 20, 30, 70)]
    [1.0, 0.5, 1.0, 0.5, 1.0, 0.0]
    """

    arguments = ("learning_rate", "horizon", "period", "growth", "final")

    def __init__(self, learning_rate, horizon, period=0.25, growth=1.0, final=0.0):
        self.learning_rate = positive("CosineRestarts", "learning_rate", learning_rate)
        self.horizon = count("CosineRestarts", "horizon", horizon)
        self.period = length("CosineRestarts", "period", period)
        if not self.period:
            raise ValueError(
                f"CosineRestarts: `period` must be an int > 0 (updates) or a float in (0, 1] (share of the horizon). "
                f"Received: period={period!r}"
            )
        self.growth = number_in("CosineRestarts", "growth", growth, least=1)
        self.final = number_in("CosineRestarts", "final", final, least=0, most=1)

    def cycles(self, horizon):
        """First updates and lengths of the cycles: two lists of int."""
        first = max(updates_in(self.period, horizon), 1)
        begins, lengths = [0], [first]
        while begins[-1] + lengths[-1] < horizon:
            begins.append(begins[-1] + lengths[-1])
            lengths.append(int(min(first * self.growth ** len(lengths) + 1e-9, 2**30)))  # the last may be long
        return begins, lengths

    def factor(self, update, horizon):
        update = ops.minimum(update, horizon)
        begins, lengths = (ops.cast(numbers, update.dtype) for numbers in self.cycles(horizon))
        cycle = ops.sum(ops.cast(begins[1:] <= ops.expand_dims(update, -1), "int32"), axis=-1)
        z = (update - ops.take(begins, cycle)) / ops.take(lengths, cycle)
        return between(1.0, self.final, cosine(z))
