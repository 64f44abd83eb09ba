"""What L-BFGS keeps to on every backend: micro-batches come to the whole, in float64, and nothing is asked of SciPy."""

import ast
import pathlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import FullBatch
from custom_optimizers import LBFGS
from tests.small import flat, relative, samples

ROOT = pathlib.Path(__file__).parents[2]
FILES = [path for package in ("custom_optimizers", "callbacks") for path in sorted((ROOT / package).rglob("*.py"))]
X, Y = samples(150)  # in micro-batches of 64: 64, 64 and 22


@pytest.fixture
def float64():
    """Models and data in float64."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before)


def fitted(batch_size, evaluations=30):
    """The weights and the losses of softmax regression."""
    keras.utils.set_random_seed(3)
    dense = layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.01))
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), dense])
    model.compile(LBFGS(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    full = FullBatch(passes_per_epoch=evaluations)
    model.fit(X.astype(keras.config.floatx()), Y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[full])
    return flat(model), full.trace["loss"]


def rounds():
    """Whether losses are rounded to float32 where all else is float64: by Keras on torch, by JAX unless it is told."""
    if keras.backend.backend() == "jax":
        return True
    y, logits = np.zeros(2, "int32"), ops.convert_to_tensor(np.eye(2), "float64")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")(y, logits)
    return keras.backend.standardize_dtype(loss.dtype) != "float64"


@pytest.mark.skipif(rounds(), reason="losses are rounded to float32")
def test_micro_batches_come_to_the_whole_in_float64(float64):
    (parts, of_parts), (whole, of_whole) = fitted(64), fitted(150)
    assert whole.dtype == "float64"
    assert relative(parts, whole) <= 1e-10
    np.testing.assert_allclose(of_parts, of_whole, rtol=1e-10)


def imported(path):
    """The names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{each.name}" for each in node.names)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the files are the same on each backend")
def test_the_packages_import_no_optimizer_of_scipy():
    found = {path.name: [name for name in imported(path) if name.startswith("scipy.optimize")] for path in FILES}
    assert len(found) > 50
    assert not {name: names for name, names in found.items() if names}
