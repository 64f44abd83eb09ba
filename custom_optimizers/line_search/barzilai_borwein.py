import keras
import numpy as np

from custom_optimizers.arguments import one_of
from custom_optimizers.either import clip, where
from custom_optimizers.line_search.nonmonotone_armijo import NonmonotoneArmijo

VARIANTS = "long", "short", "alternating"
BOUNDS = 1e-10, 1e10  # of a step
GROWS_TO = 10.0  # times the last step, on a hill


@keras.saving.register_keras_serializable(package="custom_optimizers")
class BarzilaiBorwein(NonmonotoneArmijo):
    """The step of Barzilai and Borwein, the inverse of the curvature along the last one, with a test of the loss.

    ```python
    t = (s @ s) / (s @ y)                       # "long"; s: the last step; y: the change of the gradient
    t = (s @ y) / (y @ y)                       # "short"; "alternating" takes them in turns
    loss(t) <= max(last losses) + decrease * t * slope(0)        # otherwise a shorter one, as in `NonmonotoneArmijo`
    ```

    On a parabola such steps converge much sooner than the best constant one, though the loss rises now and then, which
    the highest of the last losses leaves room for. Where the curvature is not positive, as at the top of a hill, the
    step that is tried first is ten times the last one.

    Args:
        variant: "long", "short" or "alternating".
        memory, decrease, evaluations: as in `NonmonotoneArmijo`.

    References:
        Barzilai and Borwein, Two-Point Step Size Gradient Methods, 1988; Raydan, The Barzilai and Borwein Gradient
        Method for the Large Scale Unconstrained Minimization Problem, SIAM Journal on Optimization 7, 1997.

    Example:

    >>> from custom_optimizers.line_search import BarzilaiBorwein
    >>> search = BarzilaiBorwein()
    >>> float(search.first(search.initial_state(), 0.1, (0.8**2, 0.8 * 3.2, 3.2**2)))     # 1 / the second derivative
    0.25
    """

    arguments = ("variant", "memory", "decrease", "evaluations")
    is_for_descent = True

    def __init__(self, variant="long", memory=10, decrease=1e-4, evaluations=30):
        super().__init__(memory, decrease, evaluations)
        self.variant = one_of("BarzilaiBorwein", "variant", variant, VARIANTS)

    @np.errstate(all="ignore")
    def first(self, state, step, products):
        ss, sy, yy = products
        is_long = self.variant == "long"
        if self.variant == "alternating":
            is_long = state["searches"] % 2 == 0
        found = where(is_long, ss / sy, sy / yy)
        found = where(sy > 0, found, GROWS_TO * state["step"])
        return clip(found, BOUNDS[0] + 0 * found, BOUNDS[1] + 0 * found)
