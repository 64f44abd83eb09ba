"""The whole path from `recipes train` to its files, on every backend; on JAX and torch without TensorFlow."""

import csv
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from unittest import mock

import keras
import pytest

import custom_optimizers  # noqa: F401, whose classes the files of models name
from benchmarks.exactness import free_port
from recipes.__main__ import main

BACKEND = keras.backend.backend()
if BACKEND == "jax":
    import jax
ROOT = pathlib.Path(__file__).parents[2]
SMALL = ["--variant", "basic", "--preset", "full_batch"]  # convolutions of JAX are slow on a processor
SMALL += ["--train-images", "64", "--batch-size", "32", "--validation-split", "0.05"]
FILES = {
    "config.json", "environment.json", "metrics.csv", "timing.csv", "state.npz", "tensorboard", "curves.png",
    "model.keras", "result.json",
}  # fmt: skip


def train(directory, *options, recipe="cifar10_cnn", environment=()):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "recipes", "train", recipe, *options, "--run-dir", str(directory)]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **dict(environment)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """`(status, output, error)`."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def rows(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def said(capsys):
    """A function that carries out `train` in this process, whose environment is put back: `(status, error)`."""

    def carried_out(*arguments):
        status = main(["train", *map(str, arguments)])
        return status, capsys.readouterr().err

    with mock.patch.dict(os.environ):
        yield carried_out


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "undisturbed"
    status, out, err = finish(train(directory, *SMALL, "--epochs", "4", "--schedule", "constant"))
    assert status == 0, err
    assert "Test accuracy" in out
    return directory


def test_leaves_every_file(undisturbed):
    assert {path.name for path in undisturbed.iterdir()} >= FILES
    config = json.loads((undisturbed / "config.json").read_text())
    assert (config["backend"], config["dtype"]) == (BACKEND, "float32")
    assert any((undisturbed / "tensorboard" / "train").iterdir())


@pytest.mark.skipif(BACKEND == "tensorflow", reason="it is TensorFlow")
def test_tensorflow_is_not_there():
    assert importlib.util.find_spec("tensorflow") is None


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_same_numbers(undisturbed, tmp_path):
    for epochs in ("2", "4"):
        options = [*SMALL, "--epochs", epochs, "--schedule", "constant"]
        status, _, err = finish(train(tmp_path / "run", *options))
        assert status == 0, err
    assert rows(tmp_path / "run") == rows(undisturbed)


@pytest.fixture
def float64_of_jax(monkeypatch):
    """JAX has begun without what the command sets for it, and is to go on as it was."""
    monkeypatch.delenv("JAX_ENABLE_X64", raising=False)
    if BACKEND != "jax":
        yield
        return
    with jax.enable_x64(True):
        yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.slow_cases("mae", "mini_batch")
@pytest.mark.parametrize("preset", ["batch", "mini_batch", "mae"])
def test_linear_regression(said, tmp_path, preset, float64_of_jax):
    directory = tmp_path / "run"
    status, err = said("linear_regression", "--preset", preset, "--run-dir", directory)
    assert status == 0, err
    assert BACKEND != "jax" or os.environ["JAX_ENABLE_X64"] == "1"
    result = json.loads((directory / "result.json").read_text())
    # Keras 3.15 multiplies float64 matrices in float32 on torch.
    bounds = {"batch": 1e-6 if BACKEND == "torch" else 1e-9, "mini_batch": 1e-2, "mae": 1e-3}
    assert result["distance"] < bounds[preset]


LINE = '''import keras
from recipes.linear_regression import LinearRegression

class Line(LinearRegression):
    """A line."""
'''


@pytest.mark.slow
@pytest.mark.slow_cases("mirrored:2")
@pytest.mark.parametrize("strategy", ["cpu", "mirrored:2"])
def test_keras_at_the_top_of_a_users_recipe(tmp_path, strategy):
    """It is imported while the command line is parsed, and on what the command line says."""
    if BACKEND == "torch" and strategy != "cpu":
        pytest.skip("one device")
    (tmp_path / "line.py").write_text(LINE)
    options = ["--epochs", "300", "--strategy", strategy]
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    status, _, err = finish(train(tmp_path / "run", *options, recipe="line:Line", environment=path))
    assert (status, err) == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["backend"], config["strategy"], config["dtype"]) == (BACKEND, strategy, "float64")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["distance"] < (1e-6 if BACKEND == "torch" else 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_finished_run_is_used(undisturbed, tmp_path, command):
    extra = []
    if command == "predict":
        from PIL import Image

        Image.new("L", (8, 8), 200).save(tmp_path / "one.png")
        extra = [str(tmp_path / "one.png")]
    done = subprocess.run(
        [sys.executable, "-m", "recipes", command, str(undisturbed), *extra],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if command == "evaluate":
        found = dict(line.split() for line in done.stdout.splitlines())
        result = json.loads((undisturbed / "result.json").read_text())
        assert float(found["test_accuracy"]) == pytest.approx(result["test_accuracy"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "auto"])
def test_precisions(tmp_path, dtype):
    directory = tmp_path / "run"
    status, out, err = finish(train(directory, *SMALL, "--epochs", "1", "--dtype", dtype))
    assert status == 0, err
    recorded = json.loads((directory / "config.json").read_text())["dtype"]
    assert recorded == dtype or (dtype == "auto" and f"--dtype auto: {recorded} (" in out)
    model = keras.saving.load_model(directory / "model.keras")
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {recorded}
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="recipes train on one device with torch")
@pytest.mark.parametrize("optimizer", ["batch_gd", "sgd"])
def test_two_devices_equal_one(tmp_path, optimizer):
    """65 images in batches of 32: the last batch of sgd has one image, and is filled for two devices."""
    options = [*SMALL, "--train-images", "65", "--epochs", "3", "--optimizer", optimizer, "--clipping", "none"]
    for strategy in ("auto", "mirrored:2"):
        status, out, err = finish(train(tmp_path / strategy, *options, "--strategy", strategy))
        assert status == 0, err
    assert "2 devices share each batch" in out
    one, two = rows(tmp_path / "auto"), rows(tmp_path / "mirrored:2")
    for name in ("val_loss", "val_accuracy", *(["loss"] if optimizer == "batch_gd" else [])):
        assert [float(row[name]) for row in two] == pytest.approx([float(row[name]) for row in one], rel=1e-4)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("auto", "mirrored:2")]
    assert results[1]["test_loss"] == pytest.approx(results[0]["test_loss"], rel=1e-4)
    assert json.loads((tmp_path / "mirrored:2" / "config.json").read_text())["strategy"] == "mirrored:2"


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="several processes train on JAX")
def test_two_processes_equal_one(undisturbed, tmp_path):
    """Also in two goes: both go on from what the first process has saved."""
    for epochs in ("2", "4", "4"):
        options = [*SMALL, "--epochs", epochs, "--schedule", "constant"]
        (status, out, err), (other, silence, complaint) = _together(tmp_path / "run", *options)
        assert (status, other) == (0, 0), err + complaint
        assert "Test accuracy" in out
        assert [line for line in silence.splitlines() if not line.startswith(("Meeting", "[Gloo]"))] == []
    assert "is done already" in out
    ours, theirs = rows(tmp_path / "run"), rows(undisturbed)
    assert len(ours) == 4
    for name in ("loss", "val_loss"):
        assert [float(row[name]) for row in ours] == pytest.approx([float(row[name]) for row in theirs], rel=1e-4)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= FILES


@pytest.mark.slow_cases("learning rate", "data", "strategy")
@pytest.mark.skipif(BACKEND != "jax", reason="several processes train on JAX")
@pytest.mark.parametrize(
    ("of_both", "of_the_second", "said"),
    [
        (["--seed", "7"], [], "--seed: "),  # the run was begun with another
        ([], ["--learning-rate", "0.3"], "--learning-rate: all processes take the same settings"),
        ([], ["--data", "folder:nowhere"], "--data"),
        ([], ["--strategy", "cpu"], "--strategy"),
    ],
    ids=["seed", "learning rate", "data", "strategy"],
)
def test_two_processes_end_together(undisturbed, tmp_path, of_both, of_the_second, said):
    directory = undisturbed if of_both else tmp_path / "run"
    options = [*SMALL, "--epochs", "4", "--schedule", "constant", *of_both]
    done = _together(directory, *options, of_the_second=of_the_second)
    assert all(status in (1, 2) for status, _, _ in done), done
    lines = [[line for line in err.splitlines() if line.startswith("recipes:")] for _, _, err in done]
    assert [len(each) for each in lines] == [1, 1]
    assert all(said in each[0] for each in lines), lines


def _together(directory, *options, of_the_second=()):
    address = f"127.0.0.1:{free_port()}"
    cluster = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address, "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    processes = [
        train(
            directory,
            *options,
            *(of_the_second if number else ()),
            environment={**cluster, "KERAS_DISTRIBUTION_PROCESS_ID": str(number)}.items(),
        )
        for number in range(2)
    ]
    return [finish(process) for process in processes]


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("gpu", "there is no GPU, only"),
        ("tpu", {"torch": "one device", "jax": "JAX has cpu:0"}.get(BACKEND, "reaches no TPU")),
    ],
    ids=["gpu", "tpu"],
)
def test_devices_that_are_not_there(said, tmp_path, strategy, words):
    status, err = said("cifar10_cnn", "--run-dir", tmp_path / "run", *SMALL, "--strategy", strategy)
    assert (status in (1, 2), err.count("\n")) == (True, 1), err
    assert words in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # a processor can be split before it is used
@pytest.mark.parametrize(
    ("strategy", "words"),
    [("mirrored", "mirrored:N splits"), ("mirrored:3", "--batch-size 32: 3 devices")],
    ids=["mirrored", "mirrored:3"],
)
def test_devices_that_cannot_share(tmp_path, strategy, words):
    status, _, err = finish(train(tmp_path / "run", *SMALL, "--strategy", strategy))
    lines = [line for line in err.splitlines() if line.startswith("recipes:")]
    assert (status in (1, 2), len(lines)) == (True, 1), err
    assert ("one device" if BACKEND == "torch" else words) in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(BACKEND == "jax", reason="JAX can")
def test_several_hosts_are_refused_with_the_way_that_works(tmp_path):
    environment = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "127.0.0.1:1", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    status, _, err = finish(train(tmp_path / "run", *SMALL, environment=environment.items()))
    assert (status, "KERAS_BACKEND=jax" in err, err.count("\n")) == (1, True, 1), err
