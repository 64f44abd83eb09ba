"""Networks of the recipes. Importing a name does not import Keras; calling it does."""

from recipes.models.basic import basic
from recipes.models.groupnorm import groupnorm

__all__ = ["basic", "groupnorm"]
