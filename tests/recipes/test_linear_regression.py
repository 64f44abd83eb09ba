import numpy as np
import pytest
from sklearn import linear_model

from recipes import training
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression


def trained(tmp_path, given, preset=None):
    recipe = LinearRegression.from_preset(preset, **given)
    return recipe.load(), training.train(recipe, tmp_path / "run")[0]


@pytest.mark.slow_cases("mini_batch-10-0.01-0", "mini_batch-10-0.01-1", "stochastic-1-0.01-0", "stochastic-1-0.01-1")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("preset", "batch_size", "within"), [("batch", 100, 1e-6), ("mini_batch", 10, 1e-2), ("stochastic", 1, 1e-2)]
)
def test_descent_reaches_the_normal_equations(tmp_path, preset, batch_size, within, seed):
    samples, result = trained(tmp_path, {"seed": seed}, preset)
    assert result["updates"] == result["epochs"] * 100 / batch_size
    reference = linear_model.LinearRegression().fit(samples.x, samples.y)
    assert abs(result["slope"] - reference.coef_.item()) < within
    assert abs(result["intercept"] - reference.intercept_.item()) < within
    assert result["distance"] < within


@pytest.mark.slow
def test_mae_reaches_the_linear_programme(tmp_path):
    samples, result = trained(tmp_path, {"epochs": 3000}, "mae")
    reference = linear_model.QuantileRegressor(quantile=0.5, alpha=0).fit(samples.x, samples.y[:, 0])
    assert abs(result["exact_slope"] - reference.coef_.item()) < 1e-6
    assert abs(result["slope"] - reference.coef_.item()) < 1e-3
    assert abs(result["intercept"] - reference.intercept_.item()) < 1e-3


def test_the_points_of_seed_0_are_those_of_the_articles():
    np.random.seed(0)
    x = np.random.rand(100, 1)
    y = 2 * x + 1 + np.random.randn(100, 1) * 0.1
    samples = LinearRegression().load()
    np.testing.assert_array_equal(samples.x, x)
    np.testing.assert_array_equal(samples.y, y)


def test_the_article_s_gradient_has_the_wrong_sign():
    """Its `theta - rate * x.T @ (y - x @ theta)` climbs; with the sign turned it is ours."""
    samples = LinearRegression().load()
    loss = lambda theta: np.mean((samples.y - samples.x * theta) ** 2)  # noqa: E731
    gradient = (samples.x.T @ (samples.y - samples.x * 0)).item() / 100
    assert loss(-0.01 * gradient) > loss(0) > loss(0.01 * gradient)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 101}, "--batch-size must be a whole number from 1 to 100; it is 101"),
        ({"loss": "huber"}, "--loss"),
        ({"learning_rate": 0.0}, "--learning-rate must be a number > 0; it is 0.0"),
        ({"momentum": -1.0}, "--momentum must lie in 0 to 1; it is -1.0"),
        ({"optimizer": "adam", "momentum": 0.9}, "--momentum: adam has no momentum"),
    ],
)
def test_settings_that_cannot_be(given, said):
    with pytest.raises(CommandError, match=said):
        LinearRegression.from_preset(**given)


@pytest.mark.parametrize(("optimizer", "momentum"), [("batch_gd", 0.0), ("sgd", 0.0), ("momentum", 0.9)])
def test_the_momentum_unless_it_is_given(optimizer, momentum):
    recipe = LinearRegression(optimizer=optimizer)
    assert recipe.momentum is None
    assert recipe.model(recipe.load()).optimizer.momentum == momentum


def test_it_computes_in_float64_alone(tmp_path):
    recipe = LinearRegression()
    assert (recipe.default_dtype, recipe.needs_float64) == ("float64", True)
    model = recipe.model(recipe.load())
    assert [weight.dtype for weight in model.get_weights()] == ["float64"] * 2
    with pytest.raises(CommandError, match="--dtype float32: linear_regression computes in float64"):
        training.train(recipe, tmp_path / "run", dtype="float32")
    assert not (tmp_path / "run").exists()


def test_what_a_search_goes_by_is_the_figure_of_the_judge():
    recipe = LinearRegression(loss="mae")
    samples = recipe.load()
    model = recipe.model(samples)
    judged = recipe.judge(model, samples)
    assert recipe.validate(model, samples) == {"distance": judged["distance"]}
    assert judged["distance"] == max(abs(judged["exact_slope"]), abs(judged["exact_intercept"]))  # of weights 0
    assert set(recipe.objectives) == {"distance"}


def test_a_part_of_the_samples_is_the_first_of_them():
    samples = LinearRegression().load()
    part = samples.part(0.25)
    np.testing.assert_array_equal(part.x, samples.x[:25])
    np.testing.assert_array_equal(part.y, samples.y[:25])
    assert (samples.part(0.0).train_size, samples.sizes()) == (1, "100 samples of a line with noise")
    assert part.about()["digest"] != samples.about()["digest"]
