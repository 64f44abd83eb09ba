"""The optimizers and the clipper that the guides teach, on every backend: what they say of themselves holds."""

import pathlib
import re

import keras
import numpy as np
import pytest
from keras import ops

from custom_optimizers import BatchGD
from tests import references
from tests.family import GRADIENTS, RATE, START, path_of
from tests.small import relative

GUIDES = pathlib.Path(__file__).parents[2] / "docs" / "guides"
EXAMPLES = {
    page: re.findall(r"```python\n(.*?)```", (GUIDES / f"{page}.md").read_text(), re.DOTALL)
    for page in ("optimizer", "clipping")
}
MODULES = {  # those that begin with the name of their file
    name: code
    for codes in EXAMPLES.values()
    for code in codes
    for name in re.findall(r"^# (\w+)\.py\n", code)
    if not name.startswith("digits_")
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The names that the modules of the guides define."""
    scope = {}
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
        exec(code, scope)
    monkeypatch.syspath_prepend(tmp_path)
    return scope


def test_what_there_is():
    assert list(MODULES) == ["heavy_ball", "steady_momentum", "by_mean_norm"]


@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_run(page, own):
    for code in EXAMPLES[page]:
        if "digits_mlp" not in code:  # recipes have their own tests
            exec(code, {})


def steady(momentum, memory):
    def steps(rate):
        v, size, t, change = 0.0, 0.0, 0, None
        while True:
            g, _ = yield change
            v, size, t = momentum * v + g, memory * size + (1 - memory) * np.linalg.norm(g), t + 1
            change = -rate * v / (size / (1 - memory**t))

    return steps


def by_mean_norm(times):
    def clip(g, w, history):
        bound = times * np.mean(history) if history else np.inf
        history.append(np.linalg.norm(g))
        return references.to_norm(g, bound)

    return clip


RULES = {
    "HeavyBall": (lambda own, **options: own["HeavyBall"](RATE, 0.9, **options), references.heavy_ball(0.9)),
    "SteadyMomentum": (lambda own, **options: own["SteadyMomentum"](RATE, 0.8, 0.7, **options), steady(0.8, 0.7)),
    "ByMeanNorm": (
        lambda own, **options: BatchGD(RATE, momentum=0.9, clipping=own["ByMeanNorm"](0.5), **options),
        references.clipped(by_mean_norm(0.5), references.heavy_ball(0.9)),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_they_are_their_formulas(name, own):
    """In whole batches and in micro-batches, which count once an update."""
    make, rule = RULES[name]
    expected = np.array(references.descend(rule)(START, GRADIENTS, RATE)) - START
    assert relative(path_of(make(own), GRADIENTS) - START, expected) < 1e-5
    parts = [gradient * part for gradient in GRADIENTS for part in (0.5, 1.5)]
    summed = path_of(make(own, gradient_accumulation_steps=2), parts)[1::2] - START
    assert relative(summed, expected) < 1e-5


@pytest.mark.parametrize("name", RULES)
def test_they_go_on_where_a_saved_model_ends(name, own, tmp_path):
    layer = keras.layers.Dense(2, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.kernel.assign(START)
    model.compile(RULES[name][0](own), "mse")
    for gradient in GRADIENTS[:3]:
        model.optimizer.apply([ops.array(gradient, "float32")], [layer.kernel])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        for gradient in GRADIENTS[3:]:
            each.optimizer.apply([ops.array(gradient, "float32")], each.trainable_variables)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    assert again.optimizer.get_config() == model.optimizer.get_config()


@pytest.mark.parametrize("name", RULES)
def test_a_skipped_update_changes_none_of_their_state(name, own):
    optimizer, w = RULES[name][0](own, diagnostics=True), keras.Variable(START.astype("float32"), name="kernel")
    optimizer.apply([ops.array(GRADIENTS[0], "float32")], [w])
    states = optimizer.variables[: -len(optimizer.late_variables)]
    before = [ops.convert_to_numpy(v).copy() for v in (w, *states)]
    optimizer.apply([ops.array(START * np.nan, "float32")], [w])
    for variable, value in zip((w, *states), before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
