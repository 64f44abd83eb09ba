"""What a search says of a trial that has ended."""

import types

import keras_tuner
import pytest

from recipes.tuning.progress import Progress


def trial(number, score, **values):
    hyperparameters = types.SimpleNamespace(values=values)
    return types.SimpleNamespace(
        trial_id=f"{number:04d}-0", status="COMPLETED", score=score, message=None, hyperparameters=hyperparameters
    )


def told(capsys, trials):
    """The lines of some trials, one after the other."""
    watch = Progress(1, len(trials), keras_tuner.Objective("val_accuracy", "max"), lambda hp: {"rate": 0.1}, [])
    for each in trials:
        watch.began(each, 0, None, 3)
        watch.ended(each, 0, 2.0)
    return capsys.readouterr().out.splitlines()


def test_each_line_has_the_score_and_the_best_so_far(capsys):
    first, second = told(capsys, [trial(0, 0.5), trial(1, 0.25)])
    assert first.startswith("trial 0000-0, 1 of 2, about ")
    assert first.endswith(" left: val_accuracy 0.5 (best 0.5), 2 s; rate 0.1")
    assert second == "trial 0001-0, 2 of 2: val_accuracy 0.25 (best 0.5), 2 s; rate 0.1"


@pytest.mark.parametrize(("epochs", "words"), [(1, "1 epoch"), (9, "9 epochs")])
def test_of_a_search_by_halving_the_best_is_that_of_as_many_epochs(capsys, epochs, words):
    others = trial(0, 0.9, **{"tuner/epochs": 30})
    _, line = told(capsys, [others, trial(1, 0.25, **{"tuner/epochs": epochs})])
    assert f"val_accuracy 0.25 (best after {words} 0.25)" in line
