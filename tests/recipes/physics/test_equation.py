import math

import keras
import numpy as np
import pytest

from recipes import physics, training
from recipes.burgers import Burgers
from recipes.errors import CommandError
from recipes.physics import Equation


class Poisson(Equation):
    """`u'' = -sin(x)` in 0 to π, zero at both ends, as a user would write it."""

    domain = {"x": (0.0, math.pi)}
    orders = {"x": 2}
    grid = (200,)
    width, depth, points = 8, 1, 50
    epochs, passes_per_epoch = 3, 40
    optimizer = "switch:adam,then=self_scaled_broyden,after=20"
    presets = {"smoke": {"epochs": 1}}

    def solution(self, network, x):
        return x * (math.pi - x) * network

    def residual(self, u, x):
        return u.d("xx") + physics.sin(x.value)

    def reference(self, x):
        return np.sin(x)


def test_an_equation_of_one_s_own_is_a_dozen_lines(tmp_path):
    result, directory = training.train(Poisson(), tmp_path / "run", verbose=0)
    assert result["error"] < 1e-4
    assert result["grid_points"] == 200
    points = np.array([[1.0], [2.0]])
    np.testing.assert_allclose(keras.saving.load_model(directory / "model.keras")(points), np.sin(points), atol=1e-4)


FAULTS = {
    "coordinates have names of one letter": {"domain": {"time": (0.0, 1.0)}, "orders": {"time": 1}},
    "`orders` and `grid` must have an entry for each of x": {"orders": {"t": 1}},
    "`orders` and `grid` must": {"grid": (10, 10)},
    r"\.solution is called with \(self, network, x\)": {"solution": lambda self, network: network},
    r"\.residual is called with \(self, u, x\)": {"residual": lambda self, u, x, t: u.value},
    r"\.reference is called with \(self, x\)": {"reference": lambda self: 0},
    "has no method `reference`": {"reference": Equation.reference},
}


@pytest.mark.parametrize("said", FAULTS)
def test_what_does_not_go_together_is_told_when_the_class_is_made(said):
    with pytest.raises(TypeError, match=said):
        type("Wrong", (Poisson,), {"__doc__": "An equation.", "__module__": __name__, **FAULTS[said]})


def test_other_layers_and_activations_are_refused():
    points = keras.ops.convert_to_tensor(np.zeros((3, 1)))
    coordinates = Poisson().coordinates(points)
    for layer, said in (
        (keras.layers.LayerNormalization(), "keras.layers.Dense; .* is no such layer"),
        (keras.layers.Dense(3, "relu"), "has relu"),
    ):
        network = keras.Sequential([keras.Input((1,)), layer])
        with pytest.raises(CommandError, match=said):
            physics.through(network, coordinates)


@pytest.mark.parametrize("preset", ["broyden", "lbfgs", "adam"])
def test_presets_are_full_batches_and_keras_s_own_optimizers_mini_batches(preset):
    assert Burgers.from_preset(preset).steps == "epoch"
    mini = Burgers(optimizer="adam", batch_size=64, passes_per_epoch=1)
    data = mini.load()
    assert (mini.steps, mini.updates(data)) == (1, 100 * (2000 // 64))


def test_the_loss_of_validation_is_the_mean_of_all_its_points():
    """In micro-batches that do not divide them, of full batches and of mini-batches."""
    for given in ({"optimizer": "batch_gd"}, {"optimizer": "adam", "passes_per_epoch": 1}):
        recipe = Burgers(points=50, batch_size=16, width=4, depth=1, **given)
        data = recipe.load()
        model = recipe.model(data)
        residual = np.asarray(model(data.validation))
        logged = model.evaluate(**recipe.validation(data), verbose=0)
        for kept in (model, recipe.trained(model, None)):  # searches have the second, which is not compiled
            assert math.isclose(recipe.validate(kept, data)["val_loss"], (residual**2).mean(), rel_tol=1e-12)
        assert math.isclose(logged, (residual**2).mean(), rel_tol=1e-6)  # weights of samples are float32


def test_points_of_other_seeds_are_others_and_of_one_seed_the_same():
    digests = [Burgers(seed=seed).load().about()["digest"] for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]
    part = Burgers().load().part(0.1)
    assert (part.train_size, len(part.validation)) == (200, 200)
    assert part.sizes() == "200 points of burgers, x in -1 to 1, t in 0 to 1, and as many others for validation"
