import keras
import numpy as np

from custom_optimizers.arguments import positive
from custom_optimizers.either import cast, isfinite, number, where, zeros_like
from custom_optimizers.line_search.step_size import SHORTER, StepSize

FLATTEST = 1e-30  # curvature, which is divided by


@keras.saving.register_keras_serializable(package="custom_optimizers")
class CDAT(StepSize):
    """The step of curvature dynamics aware tuning: a multiple of what is best along the gradient, to second order.

    ```python
    u = -g
    t = scale * (u @ u) / abs(u @ H @ u)                 # H: the Hessian of the loss of all samples
    ```

    1 would be greedy: the loss falls most at each step, and the curvature rises so that less and less is left to fall.
    With 2, steps stay at the edge of stability, where they hold the curvature down.

    Each update is two passes. The first one is at a point a little way along u, and gives `u @ H @ u` as the difference
    of two exact gradients: a hundredth of the last step away or less, the cube root of the rounding of the dtype. The
    second one is at the new point.

    Args:
        scale: float > 0.
        evaluations: as in `StepSize`.

    Reference:
        Roulet et al., Stepping on the Edge: Curvature Aware Learning Rate Tuners, 2024, arXiv:2407.06183.

    Example:

    >>> from custom_optimizers.line_search import CDAT
    >>> search = CDAT(scale=1.0)
    >>> state = search.begin(search.initial_state("float64"), 8.0, -64.0, 0.1)   # of 2 * w ** 2 at w = 2, along -g
    >>> w = 2 - state["step"] * 8
    >>> state = search.next(state, 2 * w**2, -8 * 4 * w)
    >>> round(float(state["step"]), 6)
    0.25
    """

    arguments = ("scale", "evaluations")
    names = (*StepSize.names, "is_probe")

    def __init__(self, scale=2.0, evaluations=30):
        super().__init__(evaluations)
        self.scale = positive("CDAT", "scale", scale)

    def begin(self, state, value, slope, step):
        value = number(value)
        share = np.finfo(keras.backend.standardize_dtype(value.dtype)).eps ** (1 / 3)
        last = where(state["searches"] == 0, cast(step, value), state["step"])
        return {**super().begin(state, value, slope, float(share) * last), "is_probe": 1 + 0 * value}

    @np.errstate(all="ignore")
    def next(self, state, value, slope):
        step, is_probe = state["step"], state["is_probe"] > 0
        is_known = is_probe & isfinite(cast(value, step)) & isfinite(cast(slope, step))
        curvature = (cast(slope, step) - state["slope_0"]) / step
        found = self.scale * -state["slope_0"] / (abs(curvature) + FLATTEST)
        taken = super().next(state, value, slope)
        zero = zeros_like(step)
        return {
            **taken,
            "step": where(is_known, found, where(is_probe, SHORTER * step, taken["step"])),
            "accepted": where(is_probe, zero, taken["accepted"]),
            "is_probe": where(is_known, zero, state["is_probe"]),
        }
