"""Losses of the two players: each has `discriminator(real, fake)` and `generator(real, fake)`."""

from recipes.gan.losses.hinge import Hinge
from recipes.gan.losses.minimax import Minimax
from recipes.gan.losses.non_saturating import NonSaturating
from recipes.gan.losses.relativistic import Relativistic
from recipes.gan.losses.wasserstein import Wasserstein

__all__ = ["Hinge", "Minimax", "NonSaturating", "Relativistic", "Wasserstein"]
