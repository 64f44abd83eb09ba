"""What has to happen around an update: the ends of passes, watching gradients, resuming, finding a learning rate."""

from callbacks.exact_resume import ExactResume
from callbacks.full_batch import FullBatch
from callbacks.gradient_monitor import GradientMonitor
from callbacks.learning_rate_finder import LearningRateFinder
from callbacks.stop_on_convergence import StopOnConvergence

__all__ = ["ExactResume", "FullBatch", "GradientMonitor", "LearningRateFinder", "StopOnConvergence"]
