"""Layers and initializers of the fast networks, for any other."""

from recipes.layers.fused_batch_normalization import FusedBatchNormalization
from recipes.layers.fused_leaky_relu import FusedLeakyReLU
from recipes.layers.packed_conv2d import PackedConv2D
from recipes.layers.partial_identity import PartialIdentity
from recipes.layers.thin_conv2d import ThinConv2D
from recipes.layers.whitening import Whitening

__all__ = [
    "FusedBatchNormalization",
    "FusedLeakyReLU",
    "PackedConv2D",
    "PartialIdentity",
    "ThinConv2D",
    "Whitening",
]
