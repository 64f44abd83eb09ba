"""The command line as a user meets it, in a process of its own where that matters."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import pytest

from recipes.__main__ import main
from recipes.command_line import RECIPES
from recipes.settings.schedules import SCHEDULES

ROOT = pathlib.Path(__file__).parents[2]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def said(capsys, *arguments):
    """`(status, output, error)` of a command line."""
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


WRONG = [
    ([], "say what to do"),
    (["trian"], "did you mean train?"),
    (["show"], "NAME"),
    (["show", "cifar10"], "did you mean cifar10_gan or cifar10_cnn?"),
    (["train"], "which recipe"),
    (["train", "cifar10_cnm"], "did you mean cifar10_cnn or cifar10_gan?"),
    (["train", "cifar10_cnn", "--optimiser", "sgd"], "did you mean --optimizer"),
    (["train", "cifar10_cnn", "--optimizer", "bach_gd"], "did you mean batch_gd"),
    (["train", "cifar10_cnn", "--optimizer", "adam", "--momentum", "0.9"], "adam has no momentum"),
    (["train", "cifar10_cnn", "--data", "digit"], "did you mean digits?"),
    (["train", "cifar10_cnn", "--variant", "vgg"], "there are: basic, fast, full_batch, groupnorm, resnet9"),
    (["train", "cifar10_cnn", "--clipping", "by_norm"], "by_norm:1.0"),
    (["train", "cifar10_cnn", "--epochs", "many"], "--epochs"),
    (["train", "cifar10_cnn", "--epochs", "0"], "--epochs"),
    (["train", "cifar10_cnn", "--batch-size", "0"], "--batch-size"),
    (["train", "cifar10_cnn", "--learning-rate", "-1"], "--learning-rate"),
    (["train", "cifar10_cnn", "--learning-rate", "nan"], "--learning-rate"),
    (["train", "cifar10_cnn", "--momentum", "2"], "--momentum"),
    (["train", "cifar10_cnn", "--seed", "-1"], "--seed"),
    (["train", "cifar10_cnn", "--epochs"], "--epochs"),
    (["train", "cifar10_cnn", "--activation=--"], "--activation needs a value"),
    (["train", "cifar10_cnn", "extra"], "one word too many: 'extra'"),
    (["list", "--all"], "no option '--all'"),
    (["train", "cifar10_cnn", "--run-dir", ""], "--run-dir"),
    (["train", "cifar10_cnn", "--batch-size", "99999999999999999999"], "--batch-size"),
    (["train", "cifar10_cnn", "--learning-rate", "1e300"], "--learning-rate"),
    (["train", "cifar10_cnn", "--data", "cifar100"], "did you mean cifar10?"),
    (["train", "cifar10_cnn", "--data", "tfds:"], "write a name behind the colon"),
    (["train", "cifar10_cnn", "--preset", "smok"], "did you mean smoke?"),
    (["train", "cifar10_cnn", "--schedule", "cosine:period=x"], "period must be"),
    (["train", "cifar10_cnn", "--schedule", "inverse_time:-1"], "decay must be a number > 0"),
    (["train", "cifar10_cnn", "--schedule", "constant:3"], "constant has no parameter"),
    (["train", "cifar10_cnn", "--schedule", "cosin"], "did you mean cosine or warmup_cosine"),
    (["train", "cifar10_cnn", "--loss", "crossentropy"], "did you mean cross_entropy?"),
    (["train", "cifar10_cnn", "--l2", "-1"], "--l2"),
    (["train", "cifar10_cnn", "--l1", "nan"], "--l1"),
    (["train", "cifar10_cnn", "--keep", "first"], "there are: best, last"),
    (["train", "cifar10_cnn", "--validation-split", "1"], "--validation-split"),
    (["train", "cifar10_cnn", "--train-images", "0"], "--train-images"),
    (["train", "cifar10_cnn", "--train-images", "5000"], "digits has 1293 to train on; 5000 were asked for"),
    (["train", "cifar10_cnn", "--early-stopping", "0"], "--early-stopping"),
    (["train", "cifar10_cnn", "--validation-split", "0", "--keep", "best"], "--validation-split must be > 0"),
    (["train", "cifar10_cnn", "--variant", "fsat"], "did you mean fast?"),
    (["train", "cifar10_cnn", "--activation", "gelu"], "--activation is of the variants fast, resnet9, full_batch"),
    (["train", "cifar10_cnn", "--variant", "fast", "--activation", "tanh"], "--activation: no activation 'tanh'"),
    (["train", "cifar10_cnn", "--flip", "random"], "--flip: full batches are the same images"),
    (["train", "cifar10_cnn", "--optimizer", "sgd", "--flip", "upside"], "--flip: no flip 'upside'"),
    (["train", "cifar10_cnn", "--optimizer", "sgd", "--translate", "32"], "--translate must lie in 0 to 31 pixels"),
    (["train", "cifar10_cnn", "--optimizer", "sgd", "--cutout", "33"], "--cutout must lie in 0 to 32 pixels"),
    (["train", "cifar10_cnn", "--label-smoothing", "1"], "--label-smoothing must lie in [0, 1)"),
    (["train", "cifar10_cnn", "--label-smoothing", "0.1", "--loss", "mse"], "--label-smoothing is of --loss cross"),
    (["train", "cifar10_cnn", "--weight-decay", "-1"], "--weight-decay must be >= 0"),
    (["train", "cifar10_cnn", "--weight-decay-mode", "l2"], "--weight-decay-mode: no weight decay mode 'l2'"),
    (["train", "cifar10_cnn", "--ema-momentum", "0.9", "--keep", "best"], "leave out --ema-momentum"),
    (["train", "cifar10_cnn", "--weight-decay-mode", "coupled"], "so give --weight-decay"),
    (["train", "cifar10_cnn", "--ema-momentum", "1"], "--ema-momentum must lie in [0, 1)"),
    (["train", "cifar10_cnn", "--exclude-from-weight-decay", "("], "no regular expression"),
    (["train", "cifar10_cnn", "--learning-rate-multipliers", "beta"], "write expression=number"),
    (["train", "cifar10_cnn", "--gradient-accumulation-steps", "0"], "a number of batches >= 1, epoch or auto"),
    (["train", "cifar10_cnn", "--test-time-augmentation", "flop"], "did you mean flip"),
    (["train", "cifar10_cnn", "--data-dir", ""], "--data-dir"),
    (["train", "linear_regression", "--loss", "mea"], "did you mean mse or mae?"),
    (["evaluate"], "RUN_DIR"),
    (["predict", "nowhere"], "IMAGE"),
    (["export", "nowhere", "--format", "tflite"], "there are: all, onnx, saved_model"),
    (["prepare", "cifar100", "--archive", "x"], "did you mean cifar10?"),
    (["prepare", "cifar10"], "--archive"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_mistakes_take_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert not list(tmp_path.iterdir())


MISSING = [  # commands in an empty directory that name what is not there
    (["evaluate", "nowhere"], "nowhere holds no run"),
    (["evaluate", "nowhere/inside", "--json"], "nowhere/inside holds no run"),
    (["predict", "nowhere", "photo.png"], "nowhere holds no run"),
    (["export", "nowhere"], "nowhere holds no run"),
    (["generate", "nowhere", "--out", "grid.png"], "nowhere holds no run"),
    (["report", "nowhere"], "nowhere holds nothing to report"),
    (["report", ".", "nowhere"], ". holds nothing to report"),
    (["prepare", "cifar10", "--archive", "nowhere.tar.gz"], "there is no file nowhere.tar.gz"),
    (["train", "cifar10_cnn", "--data", "folder:nowhere"], "nowhere: there is no directory "),
    (["train", "cifar10_cnn", "--data", "tfds:cifar10", "--data-dir", "nowhere"], "nowhere"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISSING, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_is_missing_in_the_world_takes_one_line_and_status_1(capsys, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(capsys, *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert expected in err
    assert not list(tmp_path.iterdir())


def test_a_taken_run_directory_is_refused_and_left_alone(capsys, tmp_path):
    (tmp_path / "mine").write_text("precious")
    status, _, err = said(capsys, "train", "cifar10_cnn", "--run-dir", str(tmp_path))
    assert (status, err.count("\n")) == (1, 1)
    assert "--run-dir" in err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_run_directory_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = said(capsys, "train", "cifar10_cnn", "--run-dir", str(tmp_path / "file" / "run"))
    assert (status, err.count("\n")) == (1, 1)


def test_other_backends_are_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    status, _, err = said(capsys, "train", "cifar10_cnn", "--run-dir", str(tmp_path / "run"))
    assert (status, err.count("\n")) == (2, 1)
    assert "KERAS_BACKEND: no backend 'numpy'" in err
    assert not (tmp_path / "run").exists()


def test_a_backend_that_is_not_installed(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, _, err = said(capsys, "train", "cifar10_cnn", "--run-dir", str(tmp_path / "run"))
    assert (status, err.count("\n")) == (1, 1)
    assert "pip install keras-descent[torch]" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["cifar10_cnn", "--dtype", "float8"], "--dtype"),
        (["cifar10_cnn", "--strategy", "many"], "--strategy"),
        (["linear_regression", "--dtype", "bfloat16"], "computes in float64"),
    ],
)
def test_devices_and_precisions_that_cannot_be(capsys, tmp_path, options, named):
    status, _, err = said(capsys, "train", *options, "--run-dir", str(tmp_path / "run"))
    assert (status, err.count("\n")) == (2, 1)
    assert named in err
    assert not (tmp_path / "run").exists()


def test_list_and_show(capsys):
    status, out, _ = said(capsys, "list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(RECIPES)
    status, out, _ = said(capsys, "list", "--schedules")
    assert status == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == list(SCHEDULES)
    status, out, _ = said(capsys, "show", "cifar10_cnn")
    assert status == 0
    assert "python -m recipes train cifar10_cnn" in out
    assert "learning_rate" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "cifar10_cnn", "--help"],
        ["train", "cifar10_cnn", "--optimizer", "adm"],
        ["train", "cifar10_cnn", "--epochs", "0"],
    ],
)
def test_answers_without_importing_what_takes_seconds(arguments):
    code = f"""
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules), file=open("loaded", "w")))
from recipes.__main__ import main
sys.exit(main({arguments!r}))
"""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=directory, env=environment()
        )
        loaded = pathlib.Path(directory, "loaded").read_text().split()
    assert done.returncode == (0 if arguments[-1] == "--help" else 2)
    assert "Traceback" not in done.stderr
    assert not {"keras", "tensorflow", "numpy", "matplotlib", "sklearn", "optuna", "keras_tuner"} & set(loaded)


def shell(script):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("$PYTHON -m recipes show cifar10_cnn | head -c0; exit ${PIPESTATUS[0]}", (0, 141), ""),
        ("$PYTHON -m recipes list > /dev/full", (1,), "No space left on device"),
        ("PYTHONIOENCODING=ascii $PYTHON -m recipes show cifar10_cnn", (0,), ""),
    ],
)
def test_a_world_that_does_not_listen(script, status, said):
    done = shell(script)
    assert done.returncode in status
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == (1 if said else 0)


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_in_one_line(tmp_path):
    """Files of more than 2 KiB cannot be written: the metrics of the run outgrow that."""
    run = f"$PYTHON -m recipes train cifar10_cnn --epochs 12 --run-dir {tmp_path}/run"
    done = shell(f"trap '' XFSZ; ulimit -f 1; exec {run}")
    assert done.returncode == 1, done.stdout[-500:]
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("recipes: ")


def test_a_python_that_has_nothing_is_told_how_to_get_it():
    """As that of a shell that has not taken up .venv: no packages are found with -S."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-m", "recipes", "train", "cifar10_cnn", "--preset", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"is not installed for {sys.executable}" in line
    assert ". .venv/bin/activate" in line


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "cifar10_cnn", "--help"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    for option in ("data", "variant", "optimizer", "learning-rate", "momentum", "clipping", "batch-size", "epochs"):
        assert f"--{option}" in out
    assert "--seed" in out
    assert "--run-dir" in out


@pytest.mark.slow_cases("sgd")
@pytest.mark.parametrize("optimizer", ["batch_gd", "sgd"])
def test_train(capsys, tmp_path, pages, optimizer):
    directory = tmp_path / "run"
    arguments = ["--optimizer", optimizer, "--epochs", "3", "--seed", "5", "--run-dir", str(directory)]
    status, out, err = said(capsys, "train", "cifar10_cnn", *arguments)
    assert (status, err) == (0, "")
    assert "Epoch 3/3" in out
    assert "images of digits" in out
    ends = [line.split(": ")[-1] for line in out.splitlines()[-3:]]
    assert ends == [str(directory / name) for name in ("curves.png", "report.html", "model_card.md")]
    assert {p.name for p in directory.iterdir()} == {
        ".lock",
        "config.json",
        "confusion.npz",
        "curves.png",
        "environment.json",
        "metrics.csv",
        "model.keras",
        "model_card.md",
        "report.html",
        "result.json",
        "state.npz",
        "tensorboard",
        "timing.csv",
    }
    config = json.loads((directory / "config.json").read_text())
    assert (config["optimizer"], config["seed"], config["momentum"]) == (optimizer, 5, 0.9)
    result = json.loads((directory / "result.json").read_text())
    assert result["updates"] == (3 if optimizer == "batch_gd" else 33)
    model = keras.saving.load_model(directory / "model.keras")
    assert model.optimizer.iterations.numpy() == result["updates"]


@pytest.mark.slow
def test_a_run_that_diverges_ends_in_one_line_and_status_1(capsys, tmp_path):
    arguments = ["--learning-rate", "1e37", "--clipping", "none", "--epochs", "40", "--momentum", "0"]
    status, out, err = said(capsys, "train", "cifar10_cnn", *arguments, "--run-dir", str(tmp_path / "run"))
    assert status == 1
    assert "not finite 5 times in a row" in out
    assert err.count("\n") == 1
    assert "training diverged" in err
