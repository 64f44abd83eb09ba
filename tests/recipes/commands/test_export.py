import importlib.util
import shutil

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from recipes.commands import export as module
from recipes.data import load


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
def test_both_formats_compute_what_keras_does(said, copy):
    status, out, err = said("export", copy)
    assert (status, err) == (0, "")
    assert out.count("outputs differ from Keras by") == 2
    x = load("digits").test[0].astype("float32")
    expected = np.asarray(keras.saving.load_model(copy / "model.keras")(x))
    session = onnxruntime.InferenceSession(copy / "model.onnx")
    loaded = tf.saved_model.load(str(copy / "saved_model"))
    found = {
        "onnx": session.run(None, {session.get_inputs()[0].name: x})[0],
        "saved_model": loaded.serve(x).numpy(),
    }
    for outputs in found.values():
        np.testing.assert_allclose(outputs, expected, atol=1e-4)
    status, _, err = said("export", copy)
    assert (status, err.count("\n")) == (2, 1)
    assert err.endswith("is there already\n")
    (copy / "model.keras").write_bytes((copy / "model.keras").read_bytes() + b"\0")
    assert "of another model; remove it first" in said("export", copy)[2]


@pytest.mark.slow
def test_a_model_trained_in_bfloat16_is_written_in_float32(said, tmp_path):
    small = "--preset", "smoke", "--train-images", "40", "--batch-size", "20", "--dtype", "bfloat16"
    assert said("train", "cifar10_fast", *small, "--run-dir", tmp_path / "run")[0] == 0
    status, _, err = said("export", tmp_path / "run")
    assert (status, err) == (0, "")
    session = onnxruntime.InferenceSession(tmp_path / "run" / "model.onnx")
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    x = load("digits").test[0][:16].astype("float32")
    found, expected = session.run(None, {session.get_inputs()[0].name: x})[0], np.asarray(model(x))
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)  # which is in bfloat16


def test_a_model_that_computes_something_else_is_not_kept(said, copy, monkeypatch):
    written = module._written
    monkeypatch.setattr(module, "_written", lambda *arguments: written(*arguments) + 1)
    status, _, err = said("export", copy, "--format", "saved_model")
    assert (status, err.count("\n")) == (1, 1)
    assert "differs from Keras" in err
    assert not (copy / "saved_model").exists()
    assert not list(copy.glob(".part*"))


def test_what_has_to_be_installed_is_named(said, copy, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name))
    status, _, err = said("export", copy, "--format", "onnx")
    assert (status, err.count("\n")) == (2, 1)
    assert "pip install keras-descent[export]" in err
