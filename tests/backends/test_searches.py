"""A trial of a search scores the same on one device and on several."""

import keras
import keras_tuner
import pytest

from recipes.linear_regression import LinearRegression
from recipes.tuning import Place, RecipeHyperModel, Tuner

RECIPE = LinearRegression(epochs=5, batch_size=20, learning_rate=0.3)
STRATEGIES = {"jax": ("cpu", "mirrored:4"), "torch": ("cpu",), "tensorflow": ("cpu", "mirrored:2")}


def scores(directory, strategy):
    hypermodel = RecipeHyperModel(RECIPE, "momentum=0.0|0.5")
    oracle = keras_tuner.oracles.GridSearchOracle(hypermodel.objective(), seed=1)
    tuner = Tuner(hypermodel, oracle, place=Place(strategy), directory=directory, project_name=strategy[:3])
    tuner.search()
    return {t.hyperparameters.get("momentum"): t.score for t in oracle.trials.values()}


@pytest.mark.slow
def test_scores_are_those_of_one_device(tmp_path):
    found = [scores(tmp_path, strategy) for strategy in STRATEGIES[keras.backend.backend()]]
    assert set(found[0]) == {0.0, 0.5}
    for other in found:
        assert other == pytest.approx(found[0], rel=1e-5)
