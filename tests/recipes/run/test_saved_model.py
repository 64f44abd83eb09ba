"""A model is loaded with its classes, wherever they are written."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.errors import WorldError
from recipes.run import load_model, modules_of
from tests.conftest import ROOT

OWN = """import keras
from custom_optimizers import BatchGD

@keras.saving.register_keras_serializable()
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable()
class Slower(BatchGD):
    pass
"""
SAVE = """import keras
import own_classes
model = keras.Sequential([keras.Input((2,)), own_classes.Twice()])
model.compile(own_classes.Slower(0.5), "mse")
model.save("model.keras")
"""


@pytest.mark.slow
def test_classes_of_a_module_of_ones_own_are_found(tmp_path, monkeypatch):
    (tmp_path / "own_classes.py").write_text(OWN)
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", SAVE], cwd=tmp_path, env=environment, check=True, capture_output=True)
    path = tmp_path / "model.keras"
    assert modules_of(path) == ["own_classes"]
    with pytest.raises(WorldError, match="keras cannot be loaded: Could not locate class 'Twice'"):
        load_model(path)  # it cannot be imported from here
    monkeypatch.syspath_prepend(str(tmp_path))
    model = load_model(path)
    np.testing.assert_array_equal(model.predict(np.ones((1, 2)), verbose=0), [[2, 2]])
    assert type(model.optimizer).__name__ == "Slower"
    sys.modules.pop("own_classes")


def test_modules_of_the_package(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(BatchGD(0.5, clipping=ByGlobalNorm(1.0)), "mse")
    model.save(tmp_path / "model.keras")
    assert modules_of(tmp_path / "model.keras") == [
        "custom_optimizers.batch_gd",
        "custom_optimizers.clipping.by_global_norm",
    ]


@pytest.mark.parametrize("content", [None, b"", b"PK"])
def test_a_file_that_is_damaged_names_none(tmp_path, content):
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    assert modules_of(path) == []
    with pytest.raises(WorldError, match=r"model.keras cannot be loaded"):
        load_model(path)
