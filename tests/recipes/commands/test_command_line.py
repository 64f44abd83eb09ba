"""Command lines as a user meets them, in a process of its own where that matters."""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import pytest

from recipes.find import find, names
from tests.conftest import ROOT


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


SEARCHED = [name for name in names() if find(name).objectives]
WRONG = [
    (
        [],
        "say what to do: list, show, train, tune, compare, evaluate, predict, generate, export, prepare, report (see",
    ),
    (["trian"], "did you mean train?"),
    (["show"], "NAME"),
    (["show", "cifar10"], "did you mean cifar10_cnn"),
    (["train"], f"which recipe to train: {', '.join(names())}"),
    (["tune"], f"which recipe to tune: {', '.join(SEARCHED)}"),
    (["compare"], f"which recipe to compare: {', '.join(SEARCHED)}"),
    (["tune", "cifar10_gan"], "cifar10_gan cannot be searched or compared"),
    (["compare", "cifar10_gan", "--optimizers", "sgd"], "cifar10_gan cannot be searched or compared"),
    (["train", "cifar10_cnm"], "did you mean cifar10_cnn"),
    (["train", "cifar10_cnn", "--optimiser", "sgd"], "did you mean --optimizer"),
    (["train", "cifar10_cnn", "--optimizer", "bach_gd"], "did you mean batch_gd"),
    (["train", "cifar10_cnn", "--optimizer", "adam", "--momentum", "0.9"], "adam has no momentum"),
    (
        ["train", "cifar10_cnn", "--optimizer", "lbfgs", "--clipping", "by_norm:1"],
        "--clipping by_norm:1 is without effect",
    ),
    (
        ["train", "cifar10_cnn", "--optimizer", "lbfgs", "--schedule", "cosine"],
        "its line search finds the step, so leave",
    ),
    (
        ["train", "cifar10_cnn", "--optimizer", "lbfgs", "--momentum", "0.9"],
        "--momentum 0.9 is without effect beside lbfgs",
    ),
    (
        ["train", "cifar10_cnn", "--optimizer", "lbfgs", "--learning-rate", "0.2"],
        "--learning-rate 0.2 is without effect",
    ),
    (
        ["train", "cifar10_cnn", "--optimizer", "lbfgs", "--gradient-accumulation-steps", "1"],
        "--gradient-accumulation-steps 1 is without effect beside lbfgs: it goes by the loss of all samples",
    ),
    (
        ["train", "cifar10_cnn", "--optimizer", "lbfgs", "--dtype", "float16"],
        "line search computes in float32 and bfloat16",
    ),
    (["train", "cifar10_cnn", "--optimizer", "lbfgs", "--flip", "random"], "--flip: full batches are the same images"),
    (
        ["train", "cifar10_cnn", "--optimizer", "adam", "--line-search", "armijo"],
        "adam has none; give --optimizer batch_gd",
    ),
    (["train", "cifar10_cnn", "--line-search", "armjo"], "--line-search: no line search 'armjo'; did you mean armijo?"),
    (["train", "cifar10_gan", "--generator-optimizer", "lbfgs"], "it needs full batches, and a GAN is trained in mini"),
    (["train", "cifar10_cnn", "--data", "digit"], "did you mean digits?"),
    (["train", "cifar10_cnn", "--variant", "vgg"], "there are: basic, groupnorm"),
    (["train", "cifar10_cnn", "--clipping", "by_norm"], "by_norm:1.0"),
    (["train", "cifar10_cnn", "--epochs", "many"], "--epochs"),
    (["train", "cifar10_cnn", "--epochs", "0"], "--epochs"),
    (["train", "cifar10_cnn", "--batch-size", "0"], "--batch-size"),
    (["train", "cifar10_cnn", "--learning-rate", "-1"], "--learning-rate"),
    (["train", "cifar10_cnn", "--learning-rate", "nan"], "--learning-rate"),
    (["train", "cifar10_cnn", "--momentum", "2"], "--momentum"),
    (["train", "cifar10_cnn", "--seed", "-1"], "--seed"),
    (["train", "cifar10_cnn", "--epochs"], "--epochs"),
    (["train", "cifar10_cnn", "--flip=--"], "--flip needs a value"),
    (["train", "cifar10_cnn", "extra"], "one word too many: 'extra'"),
    (["list", "--all"], "no option '--all'"),
    (["train", "cifar10_cnn", "--opt", "sgd"], "no option '--opt'"),
    (["train", "--epochs", "3", "cifar10_cnn"], "no recipe '3'"),
    (["evaluate", "nowhere", "--jso"], "did you mean --json"),
    (["show", "cifar10_cnn", "cifar10_gan"], "one word too many: 'cifar10_gan'"),
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
    (["train", "cifar10_fast", "--variant", "fsat"], "did you mean fast?"),
    (["train", "cifar10_cnn", "--activation", "gelu"], "no option '--activation'"),
    (["train", "cifar10_fast", "--activation", "tanh"], "--activation: no activation 'tanh'"),
    (["train", "cifar10_cnn", "--flip", "random"], "--flip: full batches are the same images"),
    (["train", "cifar10_cnn", "--optimizer", "sgd", "--flip", "upside"], "--flip: no flip 'upside'"),
    (["train", "cifar10_cnn", "--optimizer", "sgd", "--translate", "32"], "--translate must be at most 31"),
    (["train", "cifar10_cnn", "--optimizer", "sgd", "--cutout", "33"], "--cutout must be at most 32"),
    (["train", "cifar10_cnn", "--label-smoothing", "1"], "--label-smoothing must be a number in [0, 1)"),
    (["train", "cifar10_cnn", "--label-smoothing", "0.1", "--loss", "mse"], "--label-smoothing is of --loss cross"),
    (["train", "cifar10_cnn", "--weight-decay", "-1"], "--weight-decay must be a number in [0, 1e+38)"),
    (["train", "cifar10_cnn", "--weight-decay-mode", "l2"], "--weight-decay-mode: no weight decay mode 'l2'"),
    (["train", "cifar10_cnn", "--ema-momentum", "0.9", "--keep", "best"], "leave out --ema-momentum"),
    (["train", "cifar10_cnn", "--weight-decay-mode", "coupled"], "so give --weight-decay"),
    (["train", "cifar10_cnn", "--ema-momentum", "1"], "--ema-momentum must be a number in [0, 1)"),
    (["train", "cifar10_cnn", "--exclude-from-weight-decay", "("], "no regular expression"),
    (["train", "cifar10_cnn", "--learning-rate-multipliers", "beta"], "write expression=number"),
    (["train", "cifar10_cnn", "--gradient-accumulation-steps", "0"], "a number of batches >= 1, epoch or auto"),
    (["train", "cifar10_cnn", "--test-time-augmentation", "flop"], "did you mean flip"),
    (["train", "cifar10_cnn", "--data-dir", ""], "--data-dir"),
    (["train", "linear_regression", "--loss", "mea"], "did you mean mae or mse?"),
    (["evaluate"], "RUN_DIR"),
    (["predict", "nowhere"], "IMAGE"),
    (["export", "nowhere", "--format", "tflite"], "there are: all, onnx, saved_model"),
    (["prepare", "cifar100", "--archive", "x"], "did you mean cifar10?"),
    (["prepare", "cifar10"], "--archive"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_mistakes_take_one_line_and_status_2(said, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert not list(tmp_path.iterdir())


MISSING = [  # commands in an empty directory that name what is not there
    (["evaluate", "nowhere"], "nowhere holds no run"),
    (["evaluate", "nowhere/inside", "--json"], "nowhere/inside holds no run"),
    (["predict", "nowhere", "photo.png"], "nowhere holds no run"),
    (["export", "nowhere"], "nowhere holds no run"),
    (["generate", "nowhere", "--out", "grid.png"], "nowhere holds no run"),
    (["report", "nowhere"], "nowhere holds no run"),
    (["report", ".", "nowhere"], ". holds no run"),
    (["prepare", "cifar10", "--archive", "nowhere.tar.gz"], "there is no file nowhere.tar.gz"),
    (["train", "cifar10_cnn", "--data", "folder:nowhere"], "nowhere: there is no directory "),
    (["train", "cifar10_cnn", "--data", "tfds:cifar10", "--data-dir", "nowhere"], "nowhere"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISSING, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_is_missing_in_the_world_takes_one_line_and_status_1(said, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(*arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert expected in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["show", "linear_regression"],
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
    assert done.returncode == (0 if {"--help", "show"} & set(arguments) else 2)
    assert "Traceback" not in done.stderr
    assert not {"keras", "tensorflow", "numpy", "scipy", "matplotlib", "sklearn", "optuna", "keras_tuner"} & set(loaded)


@pytest.mark.skipif("coverage" in sys.modules, reason="coverage measures what is started too")
@pytest.mark.parametrize("arguments", [["--help"], ["train", "cifar10_cnn", "--help"]], ids=" ".join)
def test_help_takes_a_fifth_of_a_second_of_a_processor(arguments):
    def taken():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "recipes", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert sorted(taken() for _ in range(5))[2] < 0.2


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


def test_a_python_that_has_nothing_is_told_how_to_get_it():
    """As that of a shell that has not taken up .venv: no packages are found with -S."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-S", "-m", "recipes", "train", "cifar10_cnn", "--preset", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"is not installed for {sys.executable}" in line
    assert ". .venv/bin/activate" in line


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_in_one_line(tmp_path):
    """Files of more than 2 KiB cannot be written: the metrics of the run outgrow that."""
    run = f"$PYTHON -m recipes train cifar10_cnn --epochs 12 --run-dir {tmp_path}/run"
    done = shell(f"trap '' XFSZ; ulimit -f 1; exec {run}")
    assert done.returncode == 1, done.stdout[-500:]
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("recipes: ")
