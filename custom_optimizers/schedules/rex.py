import keras

from custom_optimizers.arguments import count, positive
from custom_optimizers.schedules.schedule import Schedule
from custom_optimizers.schedules.shapes import linear


@keras.saving.register_keras_serializable(package="custom_optimizers")
class REX(Schedule):
    """Falls to 0 at the horizon, slowly at first and fast at the end.

    ```python
    z = update / horizon
    factor = (1 - z) / (1 / 2 + (1 - z) / 2)
    ```

    It lies above the line from the peak to 0.

    Args:
        learning_rate: float > 0, the peak.
        horizon: int > 0, updates in all.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Chen, Wolfe and Kyrillidis, REX: revisiting budgeted training with an improved schedule, 2021,
        arXiv:2107.04197.

    Example:

    >>> from custom_optimizers.schedules import REX
    >>> schedule = REX(1.0, horizon=100)
    >>> [round(float(schedule(update)), 3) for update in (0, 50, 100)]
    [1.0, 0.667, 0.0]
    """

    arguments = ("learning_rate", "horizon")

    def __init__(self, learning_rate, horizon):
        self.learning_rate = positive("REX", "learning_rate", learning_rate)
        self.horizon = count("REX", "horizon", horizon)

    def factor(self, update, horizon):
        left = linear(update / horizon)
        return left / (0.5 + 0.5 * left)
