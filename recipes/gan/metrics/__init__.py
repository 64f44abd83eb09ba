"""How good generated images are: distances of features, statistics of a classifier, and whether they are copies."""

from recipes.gan.metrics.class_statistics import class_statistics
from recipes.gan.metrics.frechet_distance import frechet_distance
from recipes.gan.metrics.kernel_distance import kernel_distance
from recipes.gan.metrics.nearest_distances import nearest_distances

__all__ = ["class_statistics", "frechet_distance", "kernel_distance", "nearest_distances"]
