import keras
from keras import ops

from custom_optimizers.arguments import count, positive
from custom_optimizers.schedules.schedule import Schedule


@keras.saving.register_keras_serializable(package="custom_optimizers")
class InverseSquareRoot(Schedule):
    """Falls with the square root of the number of updates, and never ends.

    ```python
    factor = 1 / sqrt(1 + update / timescale)
    ```

    After a warm-up of `timescale` updates, `Warmup(InverseSquareRoot(peak, timescale), timescale)`, this is
    `peak * sqrt(timescale / update)`: the schedule of the first transformer.

    Args:
        learning_rate: float > 0, the peak.
        timescale: int > 0, updates until the rate is 1 / sqrt(2) of the peak.

    Raises:
        ValueError: an argument is out of its range.

    Reference:
        Vaswani et al., Attention is all you need, 2017, arXiv:1706.03762.

    Example:

    >>> from custom_optimizers.schedules import InverseSquareRoot
    >>> schedule = InverseSquareRoot(1.0, timescale=100)
    >>> [round(float(schedule(update)), 3) for update in (0, 300, 9900)]
    [1.0, 0.5, 0.1]
    """

    arguments = ("learning_rate", "timescale")

    def __init__(self, learning_rate, timescale):
        self.learning_rate = positive("InverseSquareRoot", "learning_rate", learning_rate)
        self.timescale = count("InverseSquareRoot", "timescale", timescale)

    def factor(self, update, horizon=None):
        return 1 / ops.sqrt(1 + update / self.timescale)
