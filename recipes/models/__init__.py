"""Networks of the recipes. Importing a name does not import Keras; calling it does."""

from recipes.models.basic import basic
from recipes.models.fast import fast
from recipes.models.groupnorm import groupnorm
from recipes.models.resnet9 import resnet9
from recipes.models.resnet18 import resnet18

__all__ = ["basic", "fast", "groupnorm", "resnet9", "resnet18"]
