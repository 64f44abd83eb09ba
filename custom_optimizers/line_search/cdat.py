import keras
import numpy as np

from custom_optimizers.arguments import number_in, positive
from custom_optimizers.either import cast, isfinite, number, where, zeros_like
from custom_optimizers.line_search.step_size import SHORTER, StepSize

FLATTEST = 1e-30  # curvature, which is divided by


@keras.saving.register_keras_serializable(package="custom_optimizers")
class CDAT(StepSize):
    """The step of curvature dynamics aware tuning: a multiple of what is best along the gradient, to second order.

    ```python
    u = -g
    square = smoothing * square + (1 - smoothing) * (u @ u)
    curvature = smoothing * curvature + (1 - smoothing) * abs(u @ H @ u)         # H: of the loss of all samples
    t = scale * square / curvature
    ```

    Both begin with those of the first update. Without averages a gradient along which the loss is nearly straight, as
    it is now and then for a network, makes a step that leaves all that has been learnt.

    1 would be greedy: the loss falls most at each step, and the curvature rises so that less and less is left to fall.
    With 2, steps stay at the edge of stability, where they hold the curvature down.

    Each update is two passes. The first one is at a point a little way along u, and gives `u @ H @ u` as the difference
    of two exact gradients: a hundredth of the last step away or less, the cube root of the rounding of the dtype. The
    second one is at the new point. In bfloat16 nothing is left of such a difference, so layers that compute in it are
    refused.

    With 2, a loss that is a parabola does not fall, since each step goes as far up on the other side, and the averages
    let it rise: for least squares take another rule, or a scale of 1.

    Args:
        scale: float > 0.
        smoothing: float in [0, 1), what the averages keep of what they were; 0 for none.
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

    arguments = ("scale", "smoothing", "evaluations")
    names = (*StepSize.names, "is_probe", "square", "curvature")
    takes_differences = True

    def __init__(self, scale=2.0, smoothing=0.9, evaluations=30):
        super().__init__(evaluations)
        self.scale = positive("CDAT", "scale", scale)
        self.smoothing = number_in("CDAT", "smoothing", smoothing, least=0, below=1)

    def begin(self, state, value, slope, step):
        value = number(value)
        share = np.finfo(keras.backend.standardize_dtype(value.dtype)).eps ** (1 / 3)
        last = where(state["searches"] == 0, cast(step, value), state["step"])
        averages = {name: cast(state[name], value) for name in ("square", "curvature")}
        return {**super().begin(state, value, slope, float(share) * last), "is_probe": 1 + 0 * value, **averages}

    @np.errstate(all="ignore")
    def next(self, state, value, slope):
        step, is_probe = state["step"], state["is_probe"] > 0
        is_known = is_probe & isfinite(cast(value, step)) & isfinite(cast(slope, step))
        square, curvature = -state["slope_0"], abs((cast(slope, step) - state["slope_0"]) / step)
        square, curvature = self._average(state, "square", square), self._average(state, "curvature", curvature)
        taken = super().next(state, value, slope)
        zero = zeros_like(step)
        found = self.scale * square / (curvature + FLATTEST)
        return {
            **taken,
            "step": where(is_known, found, where(is_probe, SHORTER * step, taken["step"])),
            "accepted": where(is_probe, zero, taken["accepted"]),
            "is_probe": where(is_known, zero, state["is_probe"]),
            "square": where(is_known, square, state["square"]),
            "curvature": where(is_known, curvature, state["curvature"]),
        }

    def _average(self, state, name, value):
        """The average of a number over the searches so far, with that of this one."""
        average = self.smoothing * state[name] + (1 - self.smoothing) * value
        return where(state["searches"] == 1, value, average)
