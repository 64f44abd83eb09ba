import importlib.util
import json
import shutil

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from PIL import Image

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
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    signature = json.loads((copy / "saved_model" / "assets.extra" / "signature.json").read_text())
    assert labels == signature["labels"] == list("0123456789")
    assert signature["output"].startswith("(n, 10), logits, ")


@pytest.mark.slow
def test_what_is_missing_is_written_and_what_is_there_is_kept(said, copy, pages):
    assert said("export", copy, "--format", "saved_model")[0] == 0
    before = (copy / "saved_model" / "saved_model.pb").stat().st_mtime_ns
    status, out, err = said("export", copy)
    assert (status, err) == (0, "")
    assert f"{copy / 'saved_model'} is there already.\n" in out
    assert (copy / "model.onnx").exists()
    assert (copy / "saved_model" / "saved_model.pb").stat().st_mtime_ns == before
    card = (copy / "model_card.md").read_text()
    assert 'loaded = tf.saved_model.load("saved_model")\noutputs = loaded.serve(inputs)\n' in card
    assert 'onnxruntime.InferenceSession("model.onnx")' in card

    model = keras.saving.load_model(copy / "model.keras")
    model.set_weights([2 * each for each in model.get_weights()])
    model.save(copy / "model.keras")
    status, _, err = said("export", copy)
    assert (status, err.count("\n")) == (2, 1)
    assert "saved_model is there already, of another model; --force writes it anew" in err
    assert said("export", copy, "--force")[0] == 0
    x = load("digits").test[0][:9].astype("float32")
    loaded = tf.saved_model.load(str(copy / "saved_model"))
    served = loaded.serve(x).numpy()
    np.testing.assert_allclose(served, np.asarray(model(x)), rtol=1e-4, atol=1e-4)
    assert not list(copy.glob(".part*"))


@pytest.mark.slow
def test_the_lines_it_prints_load_and_use_each(said, copy, monkeypatch, capsys):
    _, out, _ = said("export", copy)
    lines = out[out.index("import numpy") :]
    assert lines.count("outputs = ") == 2
    monkeypatch.chdir(copy)
    x, _ = load("digits").test
    Image.fromarray(x[0]).save("photo.png")
    exec(compile(lines, "printed", "exec"), {})
    expected = np.asarray(keras.saving.load_model(copy / "model.keras")(x[:1].astype("float32"))).argmax()
    assert capsys.readouterr().out == f"{expected}\n"


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
