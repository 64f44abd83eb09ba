"""Penalties on the discriminator's slope. Each is called with the discriminator, real images and generated images."""

from recipes.gan.penalties.gradient_penalty import GradientPenalty
from recipes.gan.penalties.zero_centred import ZeroCentred

__all__ = ["GradientPenalty", "ZeroCentred"]
