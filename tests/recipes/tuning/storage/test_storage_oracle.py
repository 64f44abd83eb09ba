"""A search in a database: what it tries, and what KerasTuner and Optuna see of it."""

import json
import math

import keras_tuner
import numpy as np
import optuna
import pytest
from keras_tuner.src.engine.base_tuner import BaseTuner

from recipes.tuning import StorageOracle
from recipes.tuning.halving import STOP, KnownTrial, next_step
from recipes.tuning.samplers import INITIAL, SAMPLERS
from recipes.tuning.statuses import COMPLETED
from tests.recipes.tuning.searches import OPEN, SCORE, finish, oracle_of, quality, searched


@pytest.mark.slow_cases("tpe", "bayesian")
@pytest.mark.parametrize("sampler", ["random", "tpe", "bayesian"])
def test_the_same_seed_gives_the_same_trials(tmp_path, sampler):
    found = [
        searched(oracle_of(f"sqlite:///{tmp_path / name}", 14, sampler=sampler, seed=seed))
        for name, seed in [("a", 5), ("b", 5), ("c", 6)]
    ]
    assert found[0] == found[1] != found[2]
    assert len({json.dumps(values) for _, values, _ in found[0]}) == 14


def test_only_what_is_active_is_drawn_and_the_study_shows_it(storage):
    oracle = oracle_of(storage, 8)
    searched(oracle)
    study = optuna.load_study(study_name="search", storage=oracle._database.storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8
    for trial, frozen in zip(oracle.trials.values(), study.trials, strict=True):
        values = trial.hyperparameters.values
        assert ("end" in values) == (values["kind"] == "falling")
        assert frozen.params == {name: value for name, value in values.items() if name != "decay"}
        assert frozen.value == trial.score
        assert frozen.datetime_start <= frozen.datetime_complete
    assert study.best_value == oracle.get_best_trials()[0].score == max(t.score for t in oracle.trials.values())


@pytest.mark.slow
def test_samplers_that_learn_find_more_than_chance(tmp_path):
    """Mean over two seeds of the score of what is tried after the first ten."""
    found = {"random": [], "tpe": [], "bayesian": []}
    for sampler, scores in found.items():
        for seed in range(2):
            oracle = oracle_of(f"sqlite:///{tmp_path / f'{sampler}{seed}'}", 22, sampler=sampler, seed=seed)
            scores += [score for _, _, score in searched(oracle)][INITIAL:]
    assert np.mean(found["tpe"]) > np.mean(found["random"]) + 0.08
    assert np.mean(found["bayesian"]) > np.mean(found["random"]) + 0.08


def test_a_grid_is_every_combination_once_in_the_order_of_keras_tuner_and_goes_on_in_another_process(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["constant", "falling"])
    with hp.conditional_scope("kind", ["falling"]):
        hp.Choice("end", [0.0, 0.1, 0.2])
    hp.Int("depth", 1, 3)
    stock = keras_tuner.oracles.GridSearchOracle(SCORE, hyperparameters=hp.copy())
    stock._set_project_dir(tmp_path, "stock")
    stock.verbose = 0
    expected = []
    while (trial := stock.create_trial("tuner0")).status == "RUNNING":
        expected.append(trial.hyperparameters.values)
        finish(stock, trial, 0.5)
    found = []
    while (
        trial := oracle_of(f"sqlite:///{tmp_path / 'db'}", 99, sampler="grid", hyperparameters=hp).create_trial("tuner")
    ).status == "RUNNING":
        found.append(trial.hyperparameters.values)
        finish(OPEN[-1], trial, 0.5)
    assert len(found) == 3 + 3 * 3
    assert found == expected


@pytest.mark.parametrize("sampler", ["random", "tpe", "bayesian"])
def test_steps_are_those_of_keras_tuner_on_every_scale(tmp_path, sampler):
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 8, 128, step=2, sampling="log")
    hp.Int("depth", 1, 6, step=2)
    hp.Float("rate", 1e-5, 1e-2, step=10, sampling="log")
    hp.Float("rest", 0.0, 0.3, step=0.1)
    hp.Float("late", 0.1, 0.9, sampling="reverse_log")
    oracle = StorageOracle(f"sqlite:///{tmp_path / 'db'}", SCORE, 25, hyperparameters=hp, sampler=sampler)
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        for each in hp.space:
            value = trial.hyperparameters.values[each.name]
            assert value in list(each.values) or (each.step is None and 0.1 <= value <= 0.9)
        finish(oracle, trial, trial.hyperparameters.values["late"])
    assert len(oracle.trials) == 25


def test_halving_promotes_as_its_rule_says(storage):
    oracle, seen = oracle_of(storage, 16, rungs=(2, 8, 32)), []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        step = next_step(seen, 16, 3)
        values = trial.hyperparameters.values
        assert trial.trial_id == f"{step.configuration:04d}-{step.rung}"
        assert (values["tuner/epochs"], values["tuner/round"]) == ((2, 8, 32)[step.rung], step.rung)
        if step.rung:
            below = f"{step.configuration:04d}-{step.rung - 1}"
            same = oracle.get_trial(below).hyperparameters.values
            assert values["tuner/trial_id"] == below
            assert {n: v for n, v in values.items() if "/" not in n} == {n: v for n, v in same.items() if "/" not in n}
        finish(oracle, trial)
        seen.append(KnownTrial(step, COMPLETED, quality(values)))
    assert next_step(seen, 16, 3) == STOP
    assert oracle.get_best_trials()[0].hyperparameters.values["tuner/epochs"] == 32


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "line"])
def test_a_search_ends_when_it_has_tried_all_there_is_and_not_before(tmp_path, sampler):
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Int("depth", 1, 4)
    hp.Boolean("nesterov")
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 20, hyperparameters=hp, sampler=sampler)
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        finish(oracle, trial, len(oracle.trials) / 20)
    assert len({json.dumps(each.hyperparameters.values) for each in oracle.trials.values()}) == 2 * (1 + 4)


@pytest.mark.parametrize(("top", "fails_from"), [(0.013, 2.0), (0.4, 0.45), (0.001, 0.002), (1.0, 2.0)])
def test_a_line_is_searched_around_its_best(tmp_path, top, fails_from):
    """Nine trials over three powers of ten: within a factor of 1.4 of the best rate, beside a cliff and at the ends."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 9, hyperparameters=hp, sampler="line")
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        rate = trial.hyperparameters.values["rate"]
        trial.is_unfit = rate > fails_from
        finish(oracle, trial, -abs(math.log(rate / top)), "FAILED" if trial.is_unfit else "COMPLETED")
    best = oracle.get_best_trials()[0].hyperparameters.values["rate"]
    assert top / 1.4 <= best <= top * 1.4


@pytest.mark.parametrize("sampler", ["tpe", "bayesian"])
def test_samplers_that_learn_keep_away_from_what_fails(tmp_path, sampler):
    """The score rises with the rate up to a cliff, as it does before training diverges."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 26, hyperparameters=hp, sampler=sampler, seed=1)
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        rate = trial.hyperparameters.values["rate"]
        trial.is_unfit = rate > 0.1
        finish(oracle, trial, rate, "FAILED" if trial.is_unfit else "COMPLETED", "it diverged")
    late = [trial.status for trial in oracle.trials.values()][-12:]
    assert late.count("FAILED") <= 7
    assert oracle.get_best_trials()[0].score > 0.05


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_fails_and_never_wins(tmp_path, score):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 2)
    finish(oracle, oracle.create_trial("tuner0"), score)
    finish(oracle, oracle.create_trial("tuner0"), 0.1)
    assert [trial.status for trial in oracle.trials.values()] == ["FAILED", "COMPLETED"]
    assert oracle.get_best_trials()[0].score == 0.1
    assert "score is" in oracle.get_trial("0000").message


def test_failures_in_a_row_end_the_search_and_a_success_between_them_does_not(tmp_path):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 20)
    for status in ("FAILED", "FAILED", "COMPLETED", "FAILED", "FAILED"):
        finish(oracle, oracle.create_trial("tuner0"), 0.5, status, "no flour")
    with pytest.raises(RuntimeError, match=r"limit of 3: no eggs$"):
        finish(oracle, oracle.create_trial("tuner0"), 0.5, "FAILED", "Traceback\n  line 1\nno eggs\n")
    assert oracle.create_trial("tuner0").status == "RUNNING"  # no lock is left behind


def test_what_fails_by_its_settings_does_not_end_the_search(tmp_path):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 6)
    for number in range(6):
        trial = oracle.create_trial("tuner0")
        trial.is_unfit = number != 3
        finish(oracle, trial, 0.5, "FAILED" if number != 3 else "COMPLETED", "it diverged")
    assert oracle.create_trial("tuner0").status == "STOPPED"


def test_a_tuner_that_was_interrupted_is_given_its_trial_again(tmp_path):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 2)
    first = oracle.create_trial("tuner0")
    assert oracle.create_trial("tuner0").trial_id == first.trial_id
    second = oracle.create_trial("tuner1")
    assert second.trial_id != first.trial_id
    finish(oracle, first)
    finish(oracle, second)
    assert oracle.create_trial("tuner0").status == "STOPPED"


def test_to_end_a_trial_again_changes_nothing(tmp_path):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 1)
    trial = oracle.create_trial("tuner0")
    finish(oracle, trial, 0.5)
    finish(oracle, trial, 0.9)
    assert oracle.get_trial(trial.trial_id).score == 0.5


def test_all_machines_go_by_what_the_first_has_found_out(storage):
    first, second = oracle_of(storage), oracle_of(storage)
    assert first.recall("space", lambda: {"rates": [0.1, 1.0]}) == {"rates": [0.1, 1.0]}
    assert second.recall("space", lambda: pytest.fail("it is known")) == {"rates": [0.1, 1.0]}
    both = first.recall("other", lambda: second.recall("other", lambda: 2) - 1)  # while the first is looking
    assert both == 2


def test_trials_that_others_add_to_the_study_are_left_alone(storage):
    oracle = oracle_of(storage, 2)
    study = optuna.load_study(study_name="search", storage=oracle._database.storage)
    study.ask()
    study.enqueue_trial({"rate": 0.1})
    assert len(searched(oracle)) == 2
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "WAITING", "COMPLETE", "COMPLETE"]


class Rates(keras_tuner.HyperModel):
    def build(self, hp):
        return hp.Float("rate", 1e-3, 1.0, sampling="log")


class Bakery(BaseTuner):
    """Its second trial fails, its third has no score, its fourth reports by itself."""

    def run_trial(self, trial, scale):
        if trial.trial_id == "0001":
            raise keras_tuner.errors.FailedTrialError("burnt")
        score = math.nan if trial.trial_id == "0002" else scale * quality(trial.hyperparameters.values)
        if trial.trial_id != "0003":
            return {"score": score}
        return self.oracle.update_trial(trial.trial_id, {"score": score}) and None


@pytest.mark.filterwarnings("ignore:The use case of calling:DeprecationWarning")
def test_the_loop_of_keras_tuner_takes_it(tmp_path):
    for n in (4, 6):
        oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", n, hyperparameters=None)
        tuner = Bakery(oracle, Rates(), directory=tmp_path, project_name="bakery")
        tuner.search(2.0)
    trials = oracle.trials
    assert [trial.status for trial in trials.values()] == ["COMPLETED", "FAILED", "FAILED"] + ["COMPLETED"] * 3
    assert trials["0003"].score == 2.0 * quality(trials["0003"].hyperparameters.values)
    assert "burnt" in trials["0001"].message
    assert tuner.get_best_hyperparameters()[0].values == oracle.get_best_trials()[0].hyperparameters.values
