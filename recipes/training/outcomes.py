"""The possible ends of a training."""

FINISHED, STOPPED_EARLY, DIVERGED = "finished", "stopped early", "diverged"
