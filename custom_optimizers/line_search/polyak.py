import keras
import numpy as np

from custom_optimizers.arguments import number_in, positive
from custom_optimizers.either import cast, number, smaller, where
from custom_optimizers.line_search.step_size import StepSize


@keras.saving.register_keras_serializable(package="custom_optimizers")
class Polyak(StepSize):
    """The step of Polyak: the loss above its lowest value, divided by the square of the gradient.

    ```python
    t = min((loss - lowest) / (g @ g), largest)
    ```

    Sound where the lowest value is known, as it is about 0 for a model that can fit all its data. Where the loss does
    not come near `lowest`, steps get longer as the gradient gets smaller: then `largest` is needed. Training ends where
    the loss is at `lowest` or below.

    Args:
        lowest: float, the lowest value of the loss.
        largest: float > 0, the longest step; None for no bound.
        evaluations: as in `StepSize`.

    References:
        Polyak, Minimization of Unsmooth Functionals, 1969; Loizou et al., Stochastic Polyak Step-size for SGD, 2021,
        arXiv:2002.10542, for `largest`.

    Example:

    >>> from custom_optimizers.line_search import Polyak
    >>> search = Polyak()
    >>> state = search.begin(search.initial_state(), 8.0, -64.0, 1.0)            # of 2 * w ** 2 at w = 2, along -g
    >>> float(state["step"])
    0.125
    """

    arguments = ("lowest", "largest", "evaluations")
    failure = "the loss is at `lowest`, or not finite along the steepest descent"

    def __init__(self, lowest=0.0, largest=None, evaluations=30):
        super().__init__(evaluations)
        self.lowest = number_in("Polyak", "lowest", lowest)
        self.largest = None if largest is None else positive("Polyak", "largest", largest)

    @np.errstate(all="ignore")
    def begin(self, state, value, slope, step):
        value = number(value)
        above = value - self.lowest
        step = where(above > 0, above / -cast(slope, value), 0 * value)
        step = step if self.largest is None else smaller(step, self.largest + 0 * step)
        return super().begin(state, value, slope, step)
