"""What has to happen around an update: the ends of passes, and watching gradients."""

from callbacks.full_batch import FullBatch
from callbacks.gradient_monitor import GradientMonitor

__all__ = ["FullBatch", "GradientMonitor"]
