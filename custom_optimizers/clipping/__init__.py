"""Bounds on the gradient of a full batch."""

from custom_optimizers.clipping.ada_gc import AdaGC
from custom_optimizers.clipping.agc import AGC
from custom_optimizers.clipping.auto_clip import AutoClip
from custom_optimizers.clipping.by_block_rms import ByBlockRMS
from custom_optimizers.clipping.by_factor import ByFactor
from custom_optimizers.clipping.by_global_norm import ByGlobalNorm
from custom_optimizers.clipping.by_norm import ByNorm
from custom_optimizers.clipping.by_value import ByValue
from custom_optimizers.clipping.centralize import Centralize
from custom_optimizers.clipping.clipper import Clipper
from custom_optimizers.clipping.normalize import Normalize
from custom_optimizers.clipping.soft import Soft
from custom_optimizers.clipping.z_clip import ZClip

__all__ = [
    "AGC",
    "AdaGC",
    "AutoClip",
    "ByBlockRMS",
    "ByFactor",
    "ByGlobalNorm",
    "ByNorm",
    "ByValue",
    "Centralize",
    "Clipper",
    "Normalize",
    "Soft",
    "ZClip",
]
