"""Layers and initializers of the fast networks, for any other."""

from recipes.layers.fused_batch_normalization import FusedBatchNormalization
from recipes.layers.packed_conv2d import PackedConv2D
from recipes.layers.partial_identity import PartialIdentity
from recipes.layers.whitening import Whitening

__all__ = ["FusedBatchNormalization", "PackedConv2D", "PartialIdentity", "Whitening"]
