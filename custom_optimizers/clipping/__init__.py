"""Bounds on the gradient of a full batch."""

from custom_optimizers.clipping.by_global_norm import ByGlobalNorm
from custom_optimizers.clipping.by_norm import ByNorm
from custom_optimizers.clipping.by_value import ByValue
from custom_optimizers.clipping.clipper import Clipper

__all__ = ["ByGlobalNorm", "ByNorm", "ByValue", "Clipper"]
