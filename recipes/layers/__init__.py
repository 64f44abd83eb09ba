"""Layers and initializers of the fast networks, which any other network can use."""

from recipes.layers.flipped_conv2d import FlippedConv2D
from recipes.layers.flipped_conv2d_transpose import FlippedConv2DTranspose
from recipes.layers.fused_batch_normalization import FusedBatchNormalization
from recipes.layers.fused_leaky_relu import FusedLeakyReLU
from recipes.layers.packed_conv2d import PackedConv2D
from recipes.layers.partial_identity import PartialIdentity
from recipes.layers.thin_conv2d import ThinConv2D
from recipes.layers.whitening import Whitening

__all__ = [
    "FlippedConv2D",
    "FlippedConv2DTranspose",
    "FusedBatchNormalization",
    "FusedLeakyReLU",
    "PackedConv2D",
    "PartialIdentity",
    "ThinConv2D",
    "Whitening",
]
