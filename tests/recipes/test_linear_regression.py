import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, QuantileRegressor

from recipes import linear_regression
from recipes.errors import CommandError
from recipes.linear_regression import Settings
from recipes.run.run import Run
from recipes.settings.resolve import resolve


def trained(tmp_path, given, preset=None):
    settings = resolve(linear_regression, given, preset)
    samples = linear_regression.load(settings)
    with Run("linear_regression", settings, tmp_path / "run") as run:
        run.begin(samples.about())
        return samples, linear_regression.train(settings, run, samples)


@pytest.mark.slow_cases("mini_batch-10-0.01-0", "mini_batch-10-0.01-1", "stochastic-1-0.01-0", "stochastic-1-0.01-1")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("preset", "batch_size", "within"), [("batch", 100, 1e-6), ("mini_batch", 10, 1e-2), ("stochastic", 1, 1e-2)]
)
def test_descent_reaches_the_normal_equations(tmp_path, preset, batch_size, within, seed):
    samples, result = trained(tmp_path, {"seed": seed}, preset)
    assert result["updates"] == result["epochs"] * 100 / batch_size
    reference = LinearRegression().fit(samples.x, samples.y)
    assert abs(result["slope"] - reference.coef_.item()) < within
    assert abs(result["intercept"] - reference.intercept_.item()) < within
    assert result["distance"] < within


@pytest.mark.slow
def test_mae_reaches_the_linear_programme(tmp_path):
    samples, result = trained(tmp_path, {"epochs": 3000}, "mae")
    reference = QuantileRegressor(quantile=0.5, alpha=0).fit(samples.x, samples.y[:, 0])
    assert abs(result["exact_slope"] - reference.coef_.item()) < 1e-6
    assert abs(result["slope"] - reference.coef_.item()) < 1e-3
    assert abs(result["intercept"] - reference.intercept_.item()) < 1e-3


def test_the_points_of_seed_0_are_those_of_the_articles():
    np.random.seed(0)
    x = np.random.rand(100, 1)
    y = 2 * x + 1 + np.random.randn(100, 1) * 0.1
    samples = linear_regression.load(Settings())
    np.testing.assert_array_equal(samples.x, x)
    np.testing.assert_array_equal(samples.y, y)


def test_the_article_s_gradient_has_the_wrong_sign():
    """Its `theta - rate * x.T @ (y - x @ theta)` climbs; with the sign turned it is ours."""
    samples = linear_regression.load(Settings())
    loss = lambda theta: np.mean((samples.y - samples.x * theta) ** 2)  # noqa: E731
    gradient = (samples.x.T @ (samples.y - samples.x * 0)).item() / 100
    assert loss(-0.01 * gradient) > loss(0) > loss(0.01 * gradient)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 101}, "--batch-size must lie in 1 to 100"),
        ({"variant": "plane"}, "--variant"),
        ({"loss": "huber"}, "--loss"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"momentum": -1.0}, "--momentum"),
    ],
)
def test_settings_that_cannot_be(given, said):
    with pytest.raises(CommandError, match=said):
        resolve(linear_regression, given)
