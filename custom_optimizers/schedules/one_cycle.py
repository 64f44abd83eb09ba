import keras
from keras import ops

from custom_optimizers.arguments import count, number_in, one_of, positive
from custom_optimizers.schedules.schedule import Schedule
from custom_optimizers.schedules.shapes import SHAPES, between


@keras.saving.register_keras_serializable(package="custom_optimizers")
class OneCycle(Schedule):
    """Rises to the peak and falls far below where it began, within the horizon.

    ```python
    top = rise * horizon - 1                                            # update of the peak; not rounded
    first, last = peak / div_factor, peak / div_factor / final_div_factor
    rate = peak + (first - peak) * shape(update / top)                  # up to `top`
    rate = last + (peak - last) * shape((update - top) / (horizon - 1 - top))
    shape(z) = (1 + cos(pi * z)) / 2                                    # "cosine"
    shape(z) = 1 - z                                                    # "linear"
    ```

    These are the learning rates of `torch.optim.lr_scheduler.OneCycleLR` with two phases. Momentum, which that class
    moves the other way unless `cycle_momentum=False`, is not touched.

    Args:
        learning_rate: float > 0, the peak.
        horizon: int > 0, updates in all.
        rise: float in [0, 1), share of the horizon that the rise takes.
        div_factor: float >= 1, the peak over the first rate.
        final_div_factor: float >= 1, the first rate over the last.
        shape: "cosine" or "linear".

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Smith and Topin, Super-convergence: very fast training of neural networks using large learning rates, 2018,
        arXiv:1708.07120.

    Example:

    >>> from custom_optimizers.schedules import OneCycle
    >>> schedule = OneCycle(1.0, horizon=100)
    >>> [round(float(schedule(update)), 3) for update in (0, 29, 99)]
    [0.04, 1.0, 0.0]
    """

    arguments = ("learning_rate", "horizon", "rise", "div_factor", "final_div_factor", "shape")

    def __init__(self, learning_rate, horizon, rise=0.3, div_factor=25.0, final_div_factor=1e4, shape="cosine"):
        self.learning_rate = positive("OneCycle", "learning_rate", learning_rate)
        self.horizon = count("OneCycle", "horizon", horizon)
        self.rise = number_in("OneCycle", "rise", rise, least=0, below=1)
        self.div_factor = number_in("OneCycle", "div_factor", div_factor, least=1)
        self.final_div_factor = number_in("OneCycle", "final_div_factor", final_div_factor, least=1)
        self.shape = one_of("OneCycle", "shape", shape, ("cosine", "linear"))

    def factor(self, update, horizon):
        shape = SHAPES[self.shape]
        first = 1 / self.div_factor
        top = self.rise * horizon - 1
        falling = between(1.0, first / self.final_div_factor, shape((update - top) / (horizon - 1 - top)))
        if top <= 0:
            return falling
        return ops.minimum(between(first, 1.0, shape(update / top)), falling)
