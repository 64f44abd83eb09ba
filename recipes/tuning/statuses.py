"""KerasTuner's statuses of trials, and its answers to a tuner that asks for a trial when there is none."""

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
INVALID = "INVALID"  # the process died; the trial may be tried again
IDLE, STOPPED = "IDLE", "STOPPED"  # ask again later; the search is done
