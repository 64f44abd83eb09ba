"""Where images come from, and how a full batch of them is made."""

from recipes.data.full_batches import full_batches

__all__ = ["full_batches"]
