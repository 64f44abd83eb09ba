"""How a training ends."""

FINISHED, STOPPED_EARLY, DIVERGED = "finished", "stopped early", "diverged"
