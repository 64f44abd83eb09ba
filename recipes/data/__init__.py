"""Where images come from, and how a full batch of them is made."""

from recipes.data.digits import digits
from recipes.data.full_batches import full_batches
from recipes.data.images import Images

__all__ = ["Images", "digits", "full_batches"]
