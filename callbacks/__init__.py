"""What has to happen around an update: the ends of passes, blocks, watching gradients, resuming, finding a rate."""

from callbacks.block_gradient import BlockGradient
from callbacks.exact_resume import ExactResume
from callbacks.full_batch import FullBatch
from callbacks.gradient_monitor import GradientMonitor
from callbacks.gradient_regularizer import GradientRegularizer
from callbacks.learning_rate_finder import LearningRateFinder
from callbacks.recompute_statistics import RecomputeStatistics
from callbacks.sharpness import Sharpness
from callbacks.sharpness_aware import SharpnessAware
from callbacks.stop_on_convergence import StopOnConvergence

__all__ = [
    "BlockGradient",
    "ExactResume",
    "FullBatch",
    "GradientMonitor",
    "GradientRegularizer",
    "LearningRateFinder",
    "RecomputeStatistics",
    "Sharpness",
    "SharpnessAware",
    "StopOnConvergence",
]
