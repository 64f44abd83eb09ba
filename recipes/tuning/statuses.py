"""KerasTuner's words for what has become of a trial, and for what a tuner is told that asks for one."""

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
INVALID = "INVALID"  # its process died; it may be tried again
IDLE, STOPPED = "IDLE", "STOPPED"  # there is none yet, there are no more
