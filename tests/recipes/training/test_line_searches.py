"""Trainings whose steps a line search finds: what they come to, what they log, and that they go on where they were."""

import csv
import itertools
import json

import numpy as np
import pytest

from benchmarks.kills import bits
from recipes import training
from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_full_batch import Cifar10FullBatch
from recipes.errors import CommandError
from recipes.linear_regression import LinearRegression
from recipes.settings.line_searches import LINE_SEARCHES

SMALL = {"train_images": 60, "batch_size": 25, "validation_split": 0.1}  # three micro-batches
END = "no lower loss at the last 60 evaluations: at the limit of float64"
NEAR = {"barzilai_borwein": 1e-8, "ad_gd": 1e-3}  # rules for steps that converge on any parabola
MAE = ("train", "linear_regression", "--preset", "mae", "--optimizer", "lbfgs", "--line-search", "hager_zhang")


def metrics(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", sorted(LINE_SEARCHES.keys() - {"polyak", "cdat"}))
def test_a_line_is_fitted_to_the_digits_of_float64(name, tmp_path):
    """Two parameters and a quadratic: quasi-Newton steps are at the solution after a few evaluations."""
    optimizer, epochs, distance = ("batch_gd", 60, NEAR[name]) if name in NEAR else ("lbfgs", 30, 1e-8)
    recipe = LinearRegression(optimizer=optimizer, line_search=name, epochs=epochs)
    result, directory = training.train(recipe, tmp_path / "run")
    assert result["distance"] < distance
    rows = metrics(directory)
    assert [row["evaluations"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["accepted"] for row in rows] == [row["updates"] for row in rows]
    assert result["updates"] == rows[-1]["updates"] < rows[-1]["evaluations"]
    losses = np.array([row["loss"] for row in rows])
    if name not in ("nonmonotone_armijo", *NEAR):
        assert (losses[1:] <= losses[:-1] * (1 + 1e-12)).all()  # of accepted points; equal ones up to rounding
    assert all(row["step_size"] > 0 for row in rows if row["updates"])
    assert "learning_rate" not in rows[0]  # nothing decides by one


def test_the_step_of_polyak_and_that_of_cdat_are_found_without_a_rate(tmp_path):
    """The loss by the squared gradient; twice the best step along the gradient, to where a parabola is as high."""
    found = {}
    for name in ("polyak", "cdat"):
        _, directory = training.train(LinearRegression(line_search=name, epochs=13), tmp_path / name)
        found[name] = metrics(directory)
        assert found[name][-1]["updates"] == (12 if name == "polyak" else 6)  # a pass more tells the curvature
    x, y = LinearRegression().load()[:2]
    gradient = np.array([-2 * (x * y).mean(), -2 * y.mean()])  # at slope and intercept 0
    assert found["polyak"][1]["step_size"] == pytest.approx((y**2).mean() / (gradient**2).sum(), rel=1e-12)
    hessian = 2 * np.array([[(x * x).mean(), x.mean()], [x.mean(), 1.0]])
    step = 2 * (gradient @ gradient) / (gradient @ hessian @ gradient)
    assert found["cdat"][2]["step_size"] == pytest.approx(step, rel=1e-6)
    losses = np.array([row["loss"] for row in found["cdat"]])
    np.testing.assert_allclose(losses[:4], (y**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(losses, (y**2).mean(), rtol=0.02)  # later steps are by averages over updates


def test_descent_begins_its_search_with_the_learning_rate(tmp_path):
    """A step that is too long is shortened, and each is below the loss before by Armijo's rule."""
    for rate in (0.25, 64.0):
        recipe = LinearRegression(line_search="armijo", learning_rate=rate, epochs=12)
        result, directory = training.train(recipe, tmp_path / str(rate))
        first = next(row for row in metrics(directory) if row["updates"] == 1)
        x, y = recipe.load()[:2]
        gradient = np.array([[-2 * (x * y).mean()], [-2 * y.mean()]])  # at slope and intercept 0

        def loss(step, x=x, y=y, gradient=gradient):
            slope, intercept = -step * gradient[:, 0]
            return ((slope * x + intercept - y) ** 2).mean()

        step = first["step_size"]
        assert step == rate if rate == 0.25 else step < rate
        assert first["loss"] == pytest.approx(loss(step), rel=1e-12)
        assert loss(step) < loss(0) - 1e-4 * step * (gradient**2).sum()
        assert result["updates"] >= 5


def test_many_passes_in_an_epoch_are_the_same_search(tmp_path):
    one = LinearRegression(optimizer="lbfgs", epochs=20)
    many = LinearRegression(optimizer="lbfgs", epochs=4, passes_per_epoch=5)
    found = [training.train(recipe, tmp_path / str(i))[0] for i, recipe in enumerate((one, many))]
    assert [each["updates"] for each in found] == [found[0]["updates"]] * 2
    rows, every = metrics(tmp_path / "1"), metrics(tmp_path / "0")[4::5]
    for name in ("loss", "evaluations", "step_size"):
        np.testing.assert_allclose([row[name] for row in rows], [row[name] for row in every], rtol=1e-9)


def test_the_reason_of_the_end_is_told_and_kept(tmp_path, said, pages):
    """The mean absolute error has corners, at one of which no step is lower; epochs after that are not trained."""
    status, out, err = said(*MAE, "--run-dir", tmp_path)
    assert (status, err) == (0, "")
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["outcome"], result["reason"]) == ("stopped early", END)
    assert result["epochs"] < 40
    assert result["distance"] < 1e-10
    assert f"Stopped early, after {result['epochs']} epochs: {END}.\n" in out
    before = bits(tmp_path)
    (tmp_path / "result.json").unlink()  # as if a kill had come between the last epoch and its result
    status, out, err = said(*MAE, "--run-dir", tmp_path)
    assert (status, err) == (0, "")
    assert bits(tmp_path) == before
    page = (tmp_path / "report.html").read_text()
    assert "step along the direction" in page.lower()
    assert END in page


RECIPES = {
    "line": lambda **of: LinearRegression(optimizer="lbfgs:history=3", passes_per_epoch=2, **of),
    "line, descent": lambda **of: LinearRegression(line_search="nonmonotone_armijo", **of),
    "digits": lambda **of: Cifar10CNN(optimizer="lbfgs:history=3", **SMALL, **of),
}


@pytest.mark.slow_cases("digits", "line, descent")
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_interrupted(name, tmp_path):
    make = RECIPES[name]
    training.train(make(epochs=9), tmp_path / "whole")
    for epochs in (4, 9):
        training.train(make(epochs=epochs), tmp_path / "again")
    history, state, table, result = bits(tmp_path / "whole")
    assert [row["evaluations"] for row in history][-1] == 9 * make(epochs=1).passes
    assert bits(tmp_path / "again") == (history, state, table, result)


@pytest.mark.slow
def test_the_loss_of_images_falls_at_each_update(tmp_path):
    result, directory = training.train(Cifar10CNN(optimizer="lbfgs", **SMALL, epochs=15), tmp_path / "run")
    rows = metrics(directory)
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert [row["evaluations"] for row in rows] == list(range(1, 16))
    assert 0 < result["updates"] < 15
    for before, after in itertools.pairwise(rows):
        assert (after["loss"] < before["loss"]) == (after["updates"] > before["updates"])


def test_a_network_whose_loss_is_not_a_function_of_its_weights_is_refused_before_training(said, tmp_path):
    common = ("train", "cifar10_full_batch", "--optimizer", "lbfgs", "--width", 8, "--train-images", 40)
    status, _, err = said(*common, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "--gradient-regularizer 0.5: the gradient is not that of the loss" in err
    assert not list(tmp_path.iterdir())
    status, _, err = said(*common, "--gradient-regularizer", 0, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "normalises each micro-batch by its own statistics" in err
    assert not (tmp_path / "run" / "metrics.csv").exists()


@pytest.mark.parametrize("optimizer", ["bfgs", "switch:adam,then=self_scaled_broyden"])
def test_a_network_that_a_matrix_has_no_room_for_is_refused_before_training(optimizer):
    recipe = Cifar10CNN(optimizer=optimizer, **SMALL)
    with pytest.raises(CommandError, match=r"each of the 24,346 trained parameters.*: raise it, or take LBFGS"):
        training.contract.model(recipe, recipe.load())


def test_a_network_that_normalises_each_image_is_trained():
    recipe = Cifar10FullBatch(
        optimizer="lbfgs", normalization="group", block_size=None, gradient_regularizer=0.0, width=8, train_images=20
    )
    model = training.contract.model(recipe, recipe.load())
    assert type(model.optimizer).__name__ == "LBFGS"


def test_scaled_losses_are_refused_before_anything_is_made(tmp_path):
    with pytest.raises(CommandError, match="with a line search computes in float32 and bfloat16"):
        training.train(Cifar10CNN(optimizer="lbfgs", **SMALL), tmp_path / "run", dtype="float16")
    assert not list(tmp_path.iterdir())
