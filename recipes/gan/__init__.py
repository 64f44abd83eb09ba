"""Adversarial training: the model, normalisation and augmentation; `losses`, `penalties` and `metrics` beside them."""

from recipes.gan.diff_augment import DiffAugment
from recipes.gan.gan import GAN
from recipes.gan.spectral_normalization import SpectralNormalization

__all__ = ["GAN", "DiffAugment", "SpectralNormalization"]
