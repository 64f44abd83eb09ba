import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import count, number_in, positive
from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.clipping.norms import factor_to, global_norm, scaled


@keras.saving.register_keras_serializable(package="custom_optimizers")
class AdaGC(Clipper):
    """Clips the gradient of each variable to a multiple of a moving average of its own clipped norms.

    ```python
    # the first `warmup` updates
    g = g * min(1, absolute / global_norm)
    average = min(average, norm(g))

    # from then on
    g = g * min(1, relative * average / norm(g))
    average = decay * average + (1 - decay) * norm(g)
    ```

    Each variable has a bound that follows it, so that a spike in one layer does not slow the others down. Norms are
    taken in float32 or wider and averages kept in float32, saved with the optimizer. A gradient of 0 does not change
    the average, since an average of 0 would clip all later gradients to 0.

    Args:
        absolute: float > 0, bound of the global norm at first, in units of the gradient.
        relative: float > 0, how far a norm may lie above the average: 1.05 is 5 %.
        decay: float in [0, 1), of the averages, per update.
        warmup: int >= 1, updates.

    Reference:
        Wang et al., AdaGC: improving training stability for large language model pretraining, 2025, arXiv:2502.11034.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import AdaGC
    >>> optimizer = BatchGD(learning_rate=0.1, momentum=0.9, clipping=AdaGC(warmup=20))
    """

    arguments = ("absolute", "relative", "decay", "warmup")

    def __init__(self, absolute=1.0, relative=1.05, decay=0.98, warmup=100):
        self.absolute = positive("AdaGC", "absolute", absolute)
        self.relative = positive("AdaGC", "relative", relative)
        self.decay = number_in("AdaGC", "decay", decay, least=0, below=1)
        self.warmup = count("AdaGC", "warmup", warmup)

    def initial_state(self, variables):
        return np.int32(0), np.full(len(variables), np.inf, "float32")  # updates seen, averages (infinite: none yet)

    def clip(self, gradients, variables, state):
        seen, averages = state
        warm = seen >= self.warmup
        norms = [global_norm([g]) for g in gradients]
        together = factor_to(global_norm(norms), self.absolute)
        factors = [
            ops.where(warm, factor_to(norm, self.relative * averages[i]), ops.cast(together, norm.dtype))
            for i, norm in enumerate(norms)
        ]
        clipped = ops.stack([ops.cast(n * f, "float32") for n, f in zip(norms, factors, strict=True)])
        moved = ops.where(warm, self._moved(averages, clipped), ops.minimum(averages, clipped))
        state = seen + 1, ops.where(clipped > 0, moved, averages)
        return [scaled(g, f) for g, f in zip(gradients, factors, strict=True)], state

    def _moved(self, averages, norms):
        """The averages after other norms have been added; the norm itself where there is no average yet."""
        known = ops.isfinite(averages)
        return ops.where(known, self.decay * ops.where(known, averages, 0.0) + (1 - self.decay) * norms, norms)
