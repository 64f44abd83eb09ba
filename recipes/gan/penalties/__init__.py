"""Penalties on the discriminator's slope; each is called with the discriminator, real and generated images."""

from recipes.gan.penalties.gradient_penalty import GradientPenalty
from recipes.gan.penalties.zero_centred import ZeroCentred

__all__ = ["GradientPenalty", "ZeroCentred"]
