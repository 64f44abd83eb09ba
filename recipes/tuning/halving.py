"""Asynchronous successive halving, as a function of the trials that there are.

    rungs of 2 and 32 epochs:  each configuration is trained for 2; about the best fifth of those for 32

The decision needs nothing but what is known of each trial, so that any machine that sees the same trials makes the same
one, and a search that was interrupted goes on as if it had not been.

The paper's rungs have four times the epochs and a quarter of the configurations each. Replayed on tables of trainings
(benchmarks/results/tuning_replay.json), three of those are cheaper where scores tell early, and left out the best on
real images: see `three_rungs` there. A search of fewer than 4 epochs a trial has one rung, and trains each
configuration once.
"""

import dataclasses

from recipes.tuning.statuses import COMPLETED, RUNNING

RATIO = 16  # of the epochs, from rung to rung
FACTOR = 5  # one in so many of a rung goes on
SHORTEST = 4  # epochs that are halved; fewer are one rung
WAIT, STOP = "wait", "stop"


@dataclasses.dataclass(frozen=True)
class Step:
    """A configuration at a rung: what a trial trains.

    Args:
        configuration: int, counted from 0.
        rung: int, counted from 0.
    """

    configuration: int
    rung: int = 0


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is known of a trial.

    Args:
        step: `Step`.
        status: "RUNNING", "COMPLETED" or "FAILED".
        score: float, the higher the better; None unless it is completed.
    """

    step: Step
    status: str
    score: float | None = None


def rungs_of(max_epochs, ratio=RATIO, count=2):
    """Epochs of each rung, ascending: `max_epochs` last, each the one above divided by `ratio`, at most `count`.

    >>> rungs_of(32)
    (2, 32)
    >>> rungs_of(5)
    (1, 5)
    """
    rungs = [max_epochs]
    while len(rungs) < count and rungs[0] >= min(ratio, SHORTEST):
        rungs.insert(0, max(rungs[0] // ratio, 1))
    return tuple(rungs)


def next_step(seen, count, rungs, factor=FACTOR):
    """What to train next.

    ```python
    of each rung but the last, from the top:  the best len(rung) // factor that are not yet in the next rung
    else:                                     a new configuration, if there are less than `count`
    at the end:                               the best, until one has been trained for the longest
    ```

    A rung does not wait until it is full. A failed trial counts as the worst of its rung.

    Args:
        seen: list of `Seen`, in any order.
        count: int, configurations in all.
        rungs: int, how many rungs there are; 1 for a search without halving.
        factor: int >= 2.

    Returns:
        A `Step`; "wait" if that depends on trials that are running; "stop" if there is nothing left.

    Reference:
        Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020, arXiv:1810.05934 (ASHA).
    """
    for rung in reversed(range(rungs - 1)):
        best = _promoted(seen, rung, len(_ended(seen, rung)) // factor)
        if best is not None:
            return best
    taken = {each.step.configuration for each in seen if each.step.rung == 0}
    new = next((number for number in range(count) if number not in taken), None)
    if new is not None:
        return Step(new)
    if any(each.status == RUNNING for each in seen):
        return WAIT
    if not any(each.step.rung == rungs - 1 and each.status == COMPLETED for each in seen):
        for rung in reversed(range(rungs - 1)):
            if (best := _promoted(seen, rung, len(seen))) is not None:
                return best
    return STOP


def _ended(seen, rung):
    return [each for each in seen if each.step.rung == rung and each.status != RUNNING]


def _promoted(seen, rung, how_many):
    """The first of the best of a rung that is not in the next one; None if all are."""
    completed = [each for each in _ended(seen, rung) if each.status == COMPLETED]
    ranked = sorted(completed, key=lambda each: (-each.score, each.step.configuration))[:how_many]
    above = {each.step.configuration for each in seen if each.step.rung == rung + 1}
    best = next((each.step.configuration for each in ranked if each.step.configuration not in above), None)
    return None if best is None else Step(best, rung + 1)
