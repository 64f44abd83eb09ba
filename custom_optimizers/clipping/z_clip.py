import keras
import numpy as np
from keras import ops

from custom_optimizers.arguments import count, number_in, positive
from custom_optimizers.clipping.by_factor import ByFactor
from custom_optimizers.clipping.norms import factor_to


@keras.saving.register_keras_serializable(package="custom_optimizers")
class ZClip(ByFactor):
    """Clips norms that stand out from those of the updates before: spikes, and nothing else.

    ```python
    z = (norm - mean) / (deviation + eps)
    bound = mean + threshold ** 2 * deviation / z if z > threshold else norm
    g = g * min(1, bound / norm)
    mean = decay * mean + (1 - decay) * min(bound, norm)
    variance = decay * variance + (1 - decay) * (min(bound, norm) - mean) ** 2
    ```

    The further a norm stands out, the lower it is clipped. The first `warmup` updates are not clipped; their mean and
    variance are what the rule begins with. Statistics are saved with the optimizer. The authors' code bounds the norm
    by 1 besides: that is `clipping=[ZClip(), ByGlobalNorm(1.0)]`.

    Args:
        threshold: float > 0, in standard deviations.
        decay: float in [0, 1), of the moving mean and variance, per update.
        warmup: int >= 1, updates.
        eps: float > 0, in units of the gradient's norm.

    Reference:
        Kumar, Owen, Chowdhury and Güra, ZClip: adaptive spike mitigation for LLM pre-training, 2025, arXiv:2504.02507.

    Example:

    >>> from custom_optimizers import BatchGD
    >>> from custom_optimizers.clipping import ZClip
    >>> optimizer = BatchGD(learning_rate=0.1, momentum=0.9, clipping=ZClip())
    """

    arguments = ("threshold", "decay", "warmup", "eps")

    def __init__(self, threshold=2.5, decay=0.97, warmup=25, eps=1e-6):
        self.threshold = positive("ZClip", "threshold", threshold)
        self.decay = number_in("ZClip", "decay", decay, least=0, below=1)
        self.warmup = count("ZClip", "warmup", warmup)
        self.eps = positive("ZClip", "eps", eps)

    def initial_state(self, variables):
        return np.int32(0), np.float32(0), np.float32(0)  # updates seen, mean, variance

    def factor(self, norm, state):
        seen, mean, variance = state
        warm = seen >= self.warmup
        present = ops.minimum(ops.cast(norm, "float32"), 1e18)  # whose square is finite
        bound = ops.where(warm, self._bound(present, mean, ops.sqrt(variance)), present)
        mean, variance = _moved(self._weight(warm, seen), mean, variance, ops.minimum(bound, present), warm)
        factor = ops.where(warm, factor_to(norm, bound), ops.ones_like(norm))
        return factor, (seen + 1, mean, variance)

    def _bound(self, norm, mean, deviation):
        z = (norm - mean) / (deviation + self.eps)
        stands_out = z > self.threshold
        return ops.where(stands_out, mean + self.threshold**2 * deviation / ops.where(stands_out, z, 1.0), norm)

    def _weight(self, warm, seen):
        """The weight of the present norm: at first 1 / (number of norms so far), so that all norms count the same."""
        return ops.where(warm, 1 - self.decay, 1 / ops.cast(seen + 1, "float32"))


def _moved(weight, mean, variance, norm, warm):
    """Mean and variance after another norm has been added: of all norms at first, mostly of the latest once `warm`."""
    moved = mean + weight * (norm - mean)
    spread = (norm - moved) * ops.where(warm, norm - moved, norm - mean)
    return moved, variance + weight * (spread - variance)
