"""What successive halving trains next, against the rule worked out by hand."""

import random

import pytest

from recipes.tuning.halving import STOP, WAIT, KnownTrial, Step, next_step, rungs_of
from recipes.tuning.statuses import COMPLETED, FAILED, RUNNING

RUNGS = {
    (32, 4, 3): (2, 8, 32),
    (27, 3, 3): (3, 9, 27),
    (27, 3, 4): (1, 3, 9, 27),
    (5, 4, 3): (1, 5),
    (3, 4, 3): (3,),
    (1, 4, 3): (1,),
    (32, 16, 2): (2, 32),
    (8, 16, 2): (1, 8),
    (3, 16, 2): (3,),
}


@pytest.mark.parametrize("given", RUNGS)
def test_each_rung_has_so_many_times_the_epochs_up_to_the_last(given):
    max_epochs, ratio, count = given
    assert rungs_of(max_epochs, ratio, count) == RUNGS[given]


@pytest.mark.parametrize(
    ("epochs", "updates_of_an_epoch", "rungs"),
    [
        (32, 1, (8, 32)),  # of full batches
        (16, 1, (8, 16)),
        (15, 1, (15,)),  # a rung of more than half the epochs saves nothing
        (32, 3, (3, 32)),
        (32, 4, (2, 32)),
        (3, 1000, (3,)),
    ],
)
def test_a_rung_has_eight_updates_or_more(epochs, updates_of_an_epoch, rungs):
    assert rungs_of(epochs, updates_of_an_epoch=updates_of_an_epoch) == rungs


def test_trains_the_best_quarter_of_each_rung_on():
    """16 configurations whose score is their number, one worker: 16 + 4 + 1 trials, and the best gets to the top."""
    trials = []
    while (step := next_step(trials, count=16, rungs=3, factor=4)) != STOP:
        trials.append(KnownTrial(step, COMPLETED, float(step.configuration)))
    of_rung = [sorted(each.step.configuration for each in trials if each.step.rung == rung) for rung in range(3)]
    assert of_rung[0] == list(range(16))
    assert 15 in of_rung[2]
    assert len(of_rung[1]) >= 4
    assert {12, 13, 14, 15} <= set(of_rung[1])


def test_promotes_as_soon_as_a_quarter_is_known():
    trials = [KnownTrial(Step(i), COMPLETED, score) for i, score in enumerate([0.1, 0.4, 0.3])]
    assert next_step(trials, count=16, rungs=3, factor=4) == Step(3)
    trials.append(KnownTrial(Step(3), COMPLETED, 0.2))
    assert next_step(trials, count=16, rungs=3, factor=4) == Step(1, 1)
    trials.append(KnownTrial(Step(1, 1), RUNNING))
    assert next_step(trials, count=16, rungs=3, factor=4) == Step(4)


def test_nothing_that_failed_is_promoted_but_it_counts_in_its_rung():
    trials = [KnownTrial(Step(i), FAILED) for i in range(3)] + [KnownTrial(Step(3), COMPLETED, 0.0)]
    assert next_step(trials, count=4, rungs=2, factor=4) == Step(3, 1)
    assert next_step([KnownTrial(Step(0), FAILED)], count=1, rungs=2) == STOP


def test_at_the_end_the_best_reaches_the_top_even_of_few():
    trials = [KnownTrial(Step(0), COMPLETED, 0.5), KnownTrial(Step(1), COMPLETED, 0.9)]
    assert next_step(trials, count=2, rungs=3) == Step(1, 1)
    trials.append(KnownTrial(Step(1, 1), COMPLETED, 0.9))
    assert next_step(trials, count=2, rungs=3) == Step(1, 2)
    trials.append(KnownTrial(Step(1, 2), COMPLETED, 0.9))
    assert next_step(trials, count=2, rungs=3) == STOP


def test_what_fails_at_the_top_leaves_the_place_to_the_next():
    trials = [KnownTrial(Step(0), COMPLETED, 0.5), KnownTrial(Step(1), COMPLETED, 0.9), KnownTrial(Step(1, 1), FAILED)]
    assert next_step(trials, count=2, rungs=2) == Step(0, 1)
    trials.append(KnownTrial(Step(0, 1), FAILED))
    assert next_step(trials, count=2, rungs=2) == STOP


def test_waits_for_what_runs():
    assert next_step([KnownTrial(Step(0), RUNNING)], count=1, rungs=2) == WAIT
    assert next_step([KnownTrial(Step(0), COMPLETED, 1.0)], count=1, rungs=1) == STOP


@pytest.mark.parametrize("seed", range(5))
def test_workers_that_end_in_any_order_train_nothing_twice_and_all_of_it(seed):
    """Eight at a time, ending at random: each step once, every configuration, and the search ends."""
    generator, ended, running = random.Random(seed), [], []
    for _ in range(1000):
        step = next_step([*ended, *(KnownTrial(each, RUNNING) for each in running)], count=20, rungs=3, factor=4)
        if isinstance(step, Step) and len(running) < 8:
            running.append(step)
            continue
        if not running:
            break
        done = running.pop(generator.randrange(len(running)))
        ended.append(KnownTrial(done, COMPLETED, generator.random()))
    steps = [each.step for each in ended]
    assert len(set(steps)) == len(steps)
    assert {each.configuration for each in steps if each.rung == 0} == set(range(20))
    best = max((each for each in ended if each.step.rung == 0), key=lambda each: each.score)
    assert Step(best.step.configuration, 1) in steps
    assert any(each.rung == 2 for each in steps)
