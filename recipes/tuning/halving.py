"""Asynchronous successive halving, as a function of all trials.

    rungs of 2 and 32 epochs:  each configuration is trained for 2 epochs, about the best fifth of them for 32

The next trial is decided by the steps, statuses and scores of all trials alone. So machines with the same trials make
the same decision, and a search that was interrupted goes on as if it was not.

In the paper each rung has four times the epochs and a quarter of the configurations of the rung below. In replays of
recorded trainings (benchmarks/results/tuning_replay.json, `three_rungs`) three such rungs cost less where early scores
predict the final ones; on real images they dropped the best configuration. A search with fewer than 4 epochs a trial
has one rung, and trains each configuration once. A rung has 8 updates or more: after fewer, as full batches make them,
scores tell of the first weights and not of the configurations.
"""

import dataclasses
import math

from recipes.tuning.statuses import COMPLETED, RUNNING

RATIO = 16  # epochs of a rung divided by those of the rung below
FACTOR = 5  # one of this many configurations of a rung is promoted to the next one
SHORTEST = 4  # a search with fewer epochs has one rung
FEWEST = 8  # updates of a rung
WAIT, STOP = "wait", "stop"


@dataclasses.dataclass(frozen=True)
class Step:
    """What a trial trains: a configuration, for the epochs of a rung.

    Args:
        configuration: int, counted from 0.
        rung: int, counted from 0.
    """

    configuration: int
    rung: int = 0


@dataclasses.dataclass(frozen=True)
class KnownTrial:
    """A trial of which the step, the status and perhaps the score are known.

    Args:
        step: `Step`.
        status: "RUNNING", "COMPLETED" or "FAILED".
        score: float, the higher the better; None unless it is completed.
    """

    step: Step
    status: str
    score: float | None = None


def rungs_of(max_epochs, ratio=RATIO, count=2, updates_of_an_epoch=math.inf):
    """Epochs of each rung, ascending: `max_epochs` last, each the one above divided by `ratio`, at most `count`.

    A rung has at least `FEWEST` updates, and at most half the epochs of the one above; else there is none.

    >>> rungs_of(32)
    (2, 32)
    >>> rungs_of(5)
    (1, 5)
    >>> rungs_of(32, updates_of_an_epoch=1), rungs_of(12, updates_of_an_epoch=1)
    ((8, 32), (12,))
    """
    rungs, least = [max_epochs], math.ceil(FEWEST / updates_of_an_epoch)
    while len(rungs) < count and rungs[0] >= min(ratio, SHORTEST):
        below = max(rungs[0] // ratio, least, 1)
        if 2 * below > rungs[0]:
            break
        rungs.insert(0, below)
    return tuple(rungs)


def next_step(trials, count, rungs, factor=FACTOR):
    """The step that is trained next.

    ```python
    promote:   one of the best len(rung) // factor of a rung that is not in the next rung; highest rung first
    or start:  a new configuration, if there are fewer than `count`
    or end:    promote the best until one configuration has been trained for the longest
    ```

    A rung does not wait until it is full. A failed trial counts as the worst of its rung.

    Args:
        trials: list of `KnownTrial`, in any order.
        count: int, configurations in all.
        rungs: int, how many rungs there are; 1 for a search without halving.
        factor: int >= 2.

    Returns:
        A `Step`; "wait" if the next step depends on trials that are still running; "stop" if the search is done.

    Reference:
        Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020, arXiv:1810.05934 (ASHA).
    """
    for rung in reversed(range(rungs - 1)):
        best = _promoted(trials, rung, len(_ended(trials, rung)) // factor)
        if best is not None:
            return best
    taken = {each.step.configuration for each in trials if each.step.rung == 0}
    new = next((number for number in range(count) if number not in taken), None)
    if new is not None:
        return Step(new)
    if any(each.status == RUNNING for each in trials):
        return WAIT
    if not any(each.step.rung == rungs - 1 and each.status == COMPLETED for each in trials):
        for rung in reversed(range(rungs - 1)):
            if (best := _promoted(trials, rung, len(trials))) is not None:
                return best
    return STOP


def _ended(trials, rung):
    return [each for each in trials if each.step.rung == rung and each.status != RUNNING]


def _promoted(trials, rung, how_many):
    """The best configuration of a rung, among its `how_many` best, that is not in the next rung; None if all are."""
    completed = [each for each in _ended(trials, rung) if each.status == COMPLETED]
    ranked = sorted(completed, key=lambda each: (-each.score, each.step.configuration))[:how_many]
    above = {each.step.configuration for each in trials if each.step.rung == rung + 1}
    best = next((each.step.configuration for each in ranked if each.step.configuration not in above), None)
    return None if best is None else Step(best, rung + 1)
