"""Where images come from, and how they are handed to `fit`."""

from recipes.data.augmentation import Augmentation
from recipes.data.digits import digits
from recipes.data.folder import folder
from recipes.data.full_batches import evaluation_batches, full_batches
from recipes.data.images import Images
from recipes.data.labelled import Labelled
from recipes.data.load import load
from recipes.data.row_batches import RowBatches
from recipes.data.shuffled_batches import ShuffledBatches
from recipes.data.tfds_images import tfds_images

__all__ = [
    "Augmentation",
    "Images",
    "Labelled",
    "RowBatches",
    "ShuffledBatches",
    "digits",
    "evaluation_batches",
    "folder",
    "full_batches",
    "load",
    "tfds_images",
]
