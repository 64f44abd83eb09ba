"""Searches through KerasTuner's own oracles, and what they find."""

import json
import os
import shutil
import subprocess
import sys

import keras
import keras_tuner
import numpy as np
import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_gan import Cifar10GAN
from recipes.errors import CommandError, WorldError
from recipes.linear_regression import LinearRegression
from recipes.tuning import Place, RecipeHyperModel, StorageOracle, Tuner
from tests.conftest import ROOT

RECIPE = LinearRegression(epochs=20)
SPACE = "learning_rate=0.05:0.9,momentum=0.0|0.5|0.9"


def tuner_of(directory, oracle=keras_tuner.oracles.RandomSearchOracle, hypermodel=None, place="cpu", **options):
    hypermodel = hypermodel or RecipeHyperModel(RECIPE, SPACE)
    objective = hypermodel.objective() if isinstance(hypermodel, RecipeHyperModel) else "val_loss"
    made = oracle(objective=objective, seed=3, **options.pop("oracle_options", {"max_trials": 4}))
    return Tuner(hypermodel, made, directory=directory, project_name="search", place=Place(place), **options)


def found(tuner):
    return {trial.trial_id: (dict(trial.hyperparameters.values), trial.score) for trial in tuner.oracle.trials.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RandomSearchOracle", "GridSearchOracle", "BayesianOptimizationOracle"])
def test_kerastuners_oracles_search_and_the_best_is_the_best(tmp_path, name):
    tuner = tuner_of(tmp_path, getattr(keras_tuner.oracles, name))
    tuner.search()
    scores = [score for _, score in found(tuner).values()]
    assert len(scores) == 4
    best = tuner.oracle.get_best_trials(1)[0]
    assert best.score == min(scores)
    assert tuner.get_best_hyperparameters()[0].values == best.hyperparameters.values
    model = tuner.get_best_models()[0]
    judged = RECIPE.validate(model, tuner.hypermodel.data)
    assert judged["distance"] == pytest.approx(best.score, rel=1e-9)


@pytest.mark.slow
def test_kerastuners_hyperband_gets_schedules_that_end_with_each_budget(tmp_path):
    recipe = LinearRegression(epochs=3, schedule="linear")  # the oracle says how many there are
    hypermodel = RecipeHyperModel(recipe, SPACE)
    tuner = tuner_of(tmp_path, keras_tuner.oracles.HyperbandOracle, hypermodel, oracle_options={"max_epochs": 4})
    tuner.search()
    budgets = {trial.hyperparameters.values["tuner/epochs"] for trial in tuner.oracle.trials.values()}
    assert budgets == {2, 4}
    for trial in tuner.oracle.trials.values():
        directory = tuner.run_directory(trial)
        config = json.loads((directory / "config.json").read_text())
        last = (directory / "metrics.csv").read_text().splitlines()[-1].split(",")
        assert config["epochs"] == trial.hyperparameters.values["tuner/epochs"] == int(last[0]) + 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trials_and_scores_with_one_worker_or_two(tmp_path):
    one, two = (tuner_of(tmp_path / str(workers), workers=workers) for workers in (1, 2))
    for tuner in (one, two):
        tuner.search()
    assert found(one) == found(two)


@pytest.mark.slow
def test_what_was_searched_is_not_searched_again(tmp_path):
    tuner_of(tmp_path).search()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    tuner = tuner_of(tmp_path)
    tuner.search()
    assert len(before) == 4
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")} == before


class Users(keras_tuner.HyperModel):
    """A hypermodel as people write them, with a condition in it, and trials that fail."""

    def build(self, hp):
        model = keras.Sequential([keras.Input((3,))])
        if hp.Choice("layers", ["none", "one"]) == "one":
            with hp.conditional_scope("layers", ["one"]):
                model.add(keras.layers.Dense(hp.Int("units", 2, 8)))
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-3, 0.1, sampling="log")), "mse")
        return model


@pytest.mark.slow
def test_any_hypermodel_is_searched_by_its_last_epoch(tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    tuner = tuner_of(tmp_path, hypermodel=Users(), oracle_options={"max_trials": 4})
    tuner.search(x, x.sum(axis=1), epochs=2, validation_split=0.25, verbose=0)
    trials = tuner.oracle.trials.values()
    assert [trial.status for trial in trials] == ["COMPLETED"] * 4
    assert any("units" in trial.hyperparameters.values for trial in trials)
    model = tuner.get_best_models()[0]
    loss = model.evaluate(x[48:], x[48:].sum(axis=1), verbose=0)
    assert loss == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-5)


class Fails(Users):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def fit(self, hp, model, *args, **kwargs):
        if self.how == "raises":
            raise ValueError("the recipe is out of flour")
        if self.how == "crashes":
            import os

            os.kill(os.getpid(), 11)
        return {"infinite": {"val_loss": -np.inf}, "nan": {"val_loss": np.nan}, "unknown": {"val_lost": 1.0}}[self.how]


@pytest.mark.slow_cases("raises", "infinite", "nan", "unknown")
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", "ValueError: the recipe is out of flour"),
        ("crashes", "ended with signal 11"),
        ("infinite", "val_loss is -inf"),  # for KerasTuner's oracles, any failure counts
        ("nan", "val_loss is nan"),
        ("unknown", "no metric 'val_loss'; there are: val_lost"),
    ],
    ids=["raises", "crashes", "infinite", "nan", "unknown"],
)
def test_a_trial_that_fails_never_wins_and_three_in_a_row_end_the_search_in_one_line(tmp_path, how, message):
    tuner = tuner_of(tmp_path, hypermodel=Fails(how))
    with pytest.raises(WorldError, match="exceeded the limit of 3") as error:
        tuner.search()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert all(trial.status == "FAILED" for trial in tuner.oracle.trials.values())


def test_a_metric_that_no_recipe_has_is_refused():

    with pytest.raises(CommandError, match="no metric 'distanz'; did you mean distance"):
        RecipeHyperModel(LinearRegression, SPACE).objective("distanz")


def test_a_recipe_without_objectives_has_none_to_search_by():
    with pytest.raises(CommandError, match="cifar10_gan can be trained, but not searched or compared"):
        RecipeHyperModel(Cifar10GAN, "width=16|32").objective()


def test_a_class_of_a_recipe_stands_for_its_defaults():
    assert RecipeHyperModel(LinearRegression, SPACE).recipe == LinearRegression()


@pytest.mark.slow
def test_kerastuners_own_tuner_takes_a_recipe_too(tmp_path):
    hypermodel = RecipeHyperModel(RECIPE, SPACE)
    tuner = keras_tuner.RandomSearch(
        hypermodel, hypermodel.objective(), max_trials=2, seed=3, directory=tmp_path, project_name="stock"
    )
    tuner.oracle.verbose = 0
    tuner.search()
    ours = tuner_of(tmp_path, oracle_options={"max_trials": 2})
    ours.search()
    assert sorted(score for _, score in found(ours).values()) == pytest.approx(
        sorted(trial.score for trial in tuner.oracle.trials.values()), rel=1e-9
    )


@pytest.mark.slow
def test_a_crash_is_tried_again_and_then_fails(tmp_path):
    objective = keras_tuner.Objective("val_loss", "min")
    oracle = StorageOracle(f"sqlite:///{tmp_path / 'db'}", objective, 1, max_consecutive_failed_trials=2)
    tuner = Tuner(Fails("crashes"), oracle, directory=tmp_path, project_name="search", place=Place("cpu"))
    tuner.search()
    (trial,) = oracle.trials.values()
    assert (trial.status, trial.message) == ("FAILED", "its process ended with signal 11")
    oracle.close()


class Impatient:
    """Interrupts a search while its first trial runs."""

    def began(self, trial, slot, directory, epochs):
        self.trial = trial

    def look(self):
        if hasattr(self, "trial"):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_ctrl_c_in_a_notebook_leaves_the_trial_to_whoever_goes_on(tmp_path):
    storage, objective = f"sqlite:///{tmp_path / 'db'}", keras_tuner.Objective("distance", "min")
    hypermodel = RecipeHyperModel(RECIPE, SPACE)
    oracle, other = (StorageOracle(storage, objective, 1, seed=3) for _ in range(2))
    watch = Impatient()
    tuner = Tuner(hypermodel, oracle, directory=tmp_path, project_name="a", place=Place("cpu"), watch=watch)
    with pytest.raises(KeyboardInterrupt):
        tuner.search()
    again = Tuner(hypermodel, other, directory=tmp_path, project_name="a", place=Place("cpu"))
    again.search()
    assert [trial.status for trial in other.trials.values()] == ["COMPLETED"]
    for each in (oracle, other):
        each.close()


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"ema_momentum": 0.9}, {"keep": "best", "learning_rate": 0.5}])
def test_the_model_of_a_trial_is_what_was_scored(tmp_path, given):
    recipe = Cifar10CNN(
        train_images=100, epochs=3, optimizer="momentum", gradient_accumulation_steps="1", batch_size=20, **given
    )
    hypermodel = RecipeHyperModel(recipe, "label_smoothing=0.0|0.1")
    tuner = tuner_of(
        tmp_path, StorageOracle, hypermodel, oracle_options={"storage": f"sqlite:///{tmp_path / 'db'}", "max_trials": 1}
    )
    tuner.search()
    (model,) = tuner.get_best_models()
    (trial,) = tuner.oracle.get_best_trials()
    judged = hypermodel.recipe_of(trial.hyperparameters).validate(model, hypermodel.data)
    assert judged["val_accuracy"] == pytest.approx(trial.score, rel=1e-6)
    assert judged["val_loss"] == pytest.approx(trial.metrics.get_best_value("val_loss"), rel=1e-5)
    shutil.rmtree(tuner.run_directory(trial))
    with pytest.raises(WorldError, match="another machine may have trained it"):
        tuner.get_best_models()
    tuner.oracle.close()


@pytest.mark.slow
def test_a_recipe_that_holds_nothing_out_cannot_be_searched(tmp_path):
    hypermodel = RecipeHyperModel(Cifar10CNN(validation_split=0.0), "label_smoothing=0.0|0.1")
    with pytest.raises(CommandError, match=r"--validation-split 0.0 of digits: .* holds none out"):
        tuner_of(tmp_path, hypermodel=hypermodel).search()


class NeedsRoom(Users):
    def __init__(self, full):
        super().__init__()
        self.full = full

    def fit(self, hp, model, *args, **kwargs):
        if self.full.exists():
            raise OSError(28, "No space left on device")
        return super().fit(hp, model, *args, **kwargs)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_trial_is_trained_when_there_is_room(tmp_path):
    full, x = tmp_path / "full", np.ones((8, 3), "float32")
    full.touch()
    oracle = StorageOracle(f"sqlite:///{tmp_path / 'db'}", keras_tuner.Objective("val_loss", "min"), 2)
    for attempt in range(2):
        tuner = Tuner(NeedsRoom(full), oracle, directory=tmp_path, project_name="search", place=Place("cpu"))
        data = {"epochs": 1, "validation_split": 0.5, "verbose": 0}
        if attempt == 0:
            with pytest.raises(WorldError, match=r"trial 0000: .*No space left on device"):
                tuner.search(x, x[:, 0], **data)
            assert [trial.status for trial in oracle.trials.values()] == ["RUNNING"]
            full.unlink()
        else:
            tuner.search(x, x[:, 0], **data)
    assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 2
    oracle.close()


SCRIPT = """
import sys
import keras, keras_tuner
from recipes.classification import Classification
from recipes.settings import whole
from recipes.tuning import Place, RecipeHyperModel, Tuner

class Perceptron(Classification):
    'A perceptron on small digits, in mini-batches.'

    width: int = whole(8, "units of the hidden layer", most=64)
    shape = (8, 8, 1)
    optimizer, gradient_accumulation_steps = "momentum", "1"
    train_images, epochs = 100, 2

    def network(self, data):
        hidden = keras.layers.Dense(self.width, "relu")
        return keras.Sequential([keras.Input(self.shape), keras.layers.Flatten(), hidden, keras.layers.Dense(10)])

hypermodel = RecipeHyperModel(Perceptron, "learning_rate=0.01:1,width=4|8")
oracle = keras_tuner.oracles.RandomSearchOracle(hypermodel.objective(), max_trials=2, seed=1)
tuner = Tuner(hypermodel, oracle, place=Place("cpu"), directory=sys.argv[1], project_name="search")
tuner.search()
assert [trial.status for trial in oracle.trials.values()] == ["COMPLETED"] * 2
best = oracle.get_best_trials()[0]
assert tuner.get_best_models()[0].layers[1].units == best.hyperparameters.get("width")
"""


@pytest.mark.slow
def test_a_recipe_that_a_script_defines_is_searched(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-W", "ignore", "script.py", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (first, *_) = (tmp_path / "search" / "trials").glob("*/config.json")
    assert json.loads(first.read_text())["recipe"] == "__main__:Perceptron"
