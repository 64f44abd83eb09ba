"""First-order optimizers for Keras, built on the exact gradient of a full batch."""

from custom_optimizers.batch_gd import BatchGD
from custom_optimizers.descent import Descent

__all__ = ["BatchGD", "Descent"]
