import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import count, number_in
from custom_optimizers.clipping.by_factor import ByFactor
from custom_optimizers.clipping.norms import factor_to

LARGEST = float(np.finfo("float32").max)  # stands for norms in float64 that are larger


@keras.saving.register_keras_serializable(package="custom_optimizers")
class AutoClip(ByFactor):
    """Clips all gradients together to a percentile of the norms seen so far.

    ```python
    norms = (norms + [norm])[-window:]
    g = g * min(1, percentile(norms, q) / norm)
    ```

    The norms are those before clipping, the present one among them, and the percentile is interpolated linearly. At
    `percentile=10` nine updates in ten are clipped: the rate of descent is set by the smallest gradients, and the
    direction by all. The norms are saved with the optimizer. An update that is skipped because its gradient is not
    finite leaves no norm.

    Args:
        percentile: number in [0, 100]. 100 clips nothing, since the largest norm so far is at least the present one.
        window: int >= 1, how many norms are kept: 4 bytes each, sorted at each update.

    Reference:
        Seetharaman, Wichern, Pardo and Le Roux, AutoClip: adaptive gradient clipping for source separation networks,
        2020, arXiv:2007.14469.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import AutoClip
    >>> optimizer = BatchGD(learning_rate=0.1, momentum=0.9, clipping=AutoClip(percentile=10))
    """

    arguments = ("percentile", "window")

    def __init__(self, percentile=10, window=1000):
        self.percentile = number_in("AutoClip", "percentile", percentile, least=0, most=100)
        self.window = count("AutoClip", "window", window)

    def initial_state(self, variables):
        return np.full(self.window, np.inf, "float32"), np.int32(0)  # infinite where there is no norm yet

    def factor(self, norm, state):
        norms, seen = state
        here = ops.equal(ops.arange(self.window), seen % self.window)
        norms = ops.where(here, ops.minimum(ops.cast(norm, "float32"), LARGEST), norms)
        bound = self._percentile_of(norms, ops.minimum(seen + 1, self.window))
        return factor_to(norm, bound), (norms, seen + 1)

    def _percentile_of(self, norms, known):
        """The percentile of the `known` smallest of the norms."""
        ascending = ops.sort(norms)
        place = ops.cast(known - 1, "float32") * (self.percentile / 100)
        low = ops.cast(ops.floor(place), "int32")
        high = ops.minimum(low + 1, known - 1)
        part = place - ops.floor(place)
        return ops.take(ascending, low) * (1 - part) + ops.take(ascending, high) * part
