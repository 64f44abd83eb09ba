"""One study is one search."""

import contextlib
import sqlite3

import keras_tuner
import optuna
import pytest

from recipes.errors import WorldError
from recipes.tuning import StorageOracle
from tests.recipes.tuning.searches import SCORE, oracle_of, searched, space


def other_space():
    hp = space()
    hp.space[2].max_value = 0.5
    return hp


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 6}, "seed is 5 there and 6 here"),
        ({"sampler": "tpe"}, 'sampler is "random" there and "tpe" here'),
        ({"rungs": (1, 4)}, "rungs is null there and [1, 4] here"),
        ({"factor": 2}, "factor is 5 there and 2 here"),
        ({"about": {"recipe": "line", "data": "digits"}}, 'data is null there and "digits" here'),
        ({"about": {}}, 'recipe is "line" there and null here'),
        ({"hyperparameters": keras_tuner.HyperParameters()}, 'space is ["kind", "end", "rate", '),
        ({"hyperparameters": other_space()}, "max_value of rate is 1.0 there and 0.5 here"),
    ],
)
def test_the_study_of_another_search_is_refused(tmp_path, other, named):
    mine = {"about": {"recipe": "line"}}
    storage = f"sqlite:///{tmp_path / 'db'}"
    searched(oracle_of(storage, 2, **mine))
    with pytest.raises(ValueError, match="is of another search") as error:
        oracle_of(storage, **{**mine, **other})
    assert named in str(error.value)
    assert "\n" not in str(error.value)
    assert len(oracle_of(storage, 3, **mine).trials) == 2  # more trials of the same one are welcome


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE study_user_attributes SET value_json = '['", "the study does not say what it is of"),
        ("UPDATE study_user_attributes SET value_json = '[]'", "the study does not say what it is of"),
        (
            "UPDATE trial_user_attributes SET value_json = '3' WHERE key = 'trial_id'",
            "trial 0 is damaged: trial_id is 3",
        ),
        ("UPDATE trial_user_attributes SET value_json = '3' WHERE key = 'step'", "trial 0 is damaged"),
        ("UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'values'", "trial 0 is damaged"),
        ("""UPDATE trial_user_attributes SET value_json = '{"score": "x"}' WHERE key = 'metrics'""", "score is 'x'"),
        ("DELETE FROM trial_values", "trial 0 is damaged: it has no score"),
        ("UPDATE trials SET datetime_start = 'never'", "the database of the search is damaged"),
        ("DELETE FROM study_directions", "the study 'search' has no direction"),
        ("UPDATE study_directions SET direction = 'UP'", "the database of the search is damaged"),
        ("UPDATE trials SET state = 'GONE'", "the database of the search is damaged"),
    ],
)
def test_a_database_that_somebody_has_changed_is_told_in_one_line(tmp_path, change, said):
    storage = f"sqlite:///{tmp_path / 'db'}"
    searched(oracle_of(storage, 2))
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as database, database:
        database.execute(change)
    with pytest.raises(WorldError, match=said) as error:
        len(oracle_of(storage, 2).trials)
    assert "\n" not in str(error.value)


def test_another_objective_is_refused_in_a_study_of_plain_optuna_too(tmp_path):
    storage = f"sqlite:///{tmp_path / 'db'}"
    optuna.create_study(storage=storage, study_name="search", direction="minimize")
    with pytest.raises(ValueError, match="it would minimize, not maximize"):
        oracle_of(storage)
    least = keras_tuner.Objective("score", "min")
    StorageOracle(storage, least, 1, hyperparameters=space()).close()
    with pytest.raises(ValueError, match="objective is"):
        StorageOracle(storage, keras_tuner.Objective("loss", "min"), 1, hyperparameters=space())


def test_a_space_that_is_declared_later_is_compared_when_the_first_trial_is_claimed(tmp_path):
    storage = f"sqlite:///{tmp_path / 'db'}"
    one, other = (oracle_of(storage, hyperparameters=None) for _ in range(2))
    one.update_space(space())
    other.update_space(other_space())
    one.create_trial("tuner0")
    with pytest.raises(ValueError, match="max_value of rate is"):
        other.create_trial("tuner0")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sampler": "cmaes"}, "`sampler` must be one of"),
        ({"n": 0}, "`max_trials` must be an int >= 1. Received: max_trials=0"),
        ({"rungs": (8, 2)}, "`rungs` must be epochs that ascend"),
        ({"rungs": ()}, "`rungs` must be epochs that ascend"),
        ({"factor": 1}, "`factor` must be an int >= 2"),
        ({"lease_seconds": 0}, "must be > 0"),
    ],
)
def test_arguments_that_cannot_be_are_named(tmp_path, wrong, said):
    with pytest.raises(ValueError, match="StorageOracle: ") as error:
        oracle_of(f"sqlite:///{tmp_path / 'db'}", **wrong)
    assert said in str(error.value)


def test_several_objectives_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`objective` must be a single one"):
        StorageOracle(f"sqlite:///{tmp_path / 'db'}", [SCORE, "val_loss"], 1)
