import importlib.util
import json
import subprocess
import sys

import keras
import pytest

from recipes.__main__ import main
from recipes.cifar10_cnn import Cifar10CNN


def test_a_taken_run_directory_is_refused_and_left_alone(said, tmp_path):
    (tmp_path / "mine").write_text("precious")
    status, _, err = said("train", "cifar10_cnn", "--run-dir", str(tmp_path))
    assert (status, err.count("\n")) == (1, 1)
    assert "--run-dir" in err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_run_directory_that_cannot_be_made(said, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = said("train", "cifar10_cnn", "--run-dir", str(tmp_path / "file" / "run"))
    assert (status, err.count("\n")) == (1, 1)


@pytest.fixture
def no_keras_yet(monkeypatch):
    """Before Keras is imported, KERAS_BACKEND decides on what it will compute."""
    monkeypatch.delitem(sys.modules, "keras")


@pytest.mark.usefixtures("no_keras_yet")
def test_other_backends_are_refused(said, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    status, _, err = said("train", "cifar10_cnn", "--run-dir", str(tmp_path / "run"))
    assert (status, err.count("\n")) == (2, 1)
    assert "KERAS_BACKEND: no backend 'numpy'" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_keras_yet")
def test_a_backend_that_is_not_installed(said, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, _, err = said("train", "cifar10_cnn", "--run-dir", str(tmp_path / "run"))
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
def test_devices_and_precisions_that_cannot_be(said, tmp_path, options, named):
    status, _, err = said("train", *options, "--run-dir", str(tmp_path / "run"))
    assert (status, err.count("\n")) == (2, 1)
    assert named in err
    assert not (tmp_path / "run").exists()


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "cifar10_cnn", "--help"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    for name in Cifar10CNN.settings():
        assert f"--{name.replace('_', '-')} " in out
    for option in ("--preset", "--run-dir", "--seeds", "--results", "--strategy", "--dtype", "--dry-run", "--download"):
        assert option in out


@pytest.mark.slow_cases("sgd")
@pytest.mark.parametrize("optimizer", ["batch_gd", "sgd"])
def test_train(said, tmp_path, pages, optimizer):
    directory = tmp_path / "run"
    arguments = ["--optimizer", optimizer, "--epochs", "3", "--seed", "5", "--run-dir", str(directory)]
    status, out, err = said("train", "cifar10_cnn", *arguments)
    assert (status, err) == (0, "")
    assert "epoch 3/3: loss " in out
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
    assert (config["optimizer"], config["seed"], config["momentum"]) == (optimizer, 5, None)
    result = json.loads((directory / "result.json").read_text())
    assert result["updates"] == (3 if optimizer == "batch_gd" else 33)
    model = keras.saving.load_model(directory / "model.keras")
    assert model.optimizer.iterations.numpy() == result["updates"]
    assert model.optimizer.momentum == 0.9


@pytest.mark.slow
def test_a_run_that_diverges_ends_in_one_line_and_status_1(said, pages, tmp_path):
    arguments = ["--learning-rate", "1e37", "--clipping", "none", "--epochs", "40", "--momentum", "0"]
    status, _, err = said("train", "cifar10_cnn", *arguments, "--run-dir", str(tmp_path / "run"))
    assert status == 1
    assert err.count("\n") == 1
    assert "training diverged within 1 update: the loss is not finite in epoch 2; lower the" in err
    assert "There is no model" in (tmp_path / "run" / "model_card.md").read_text()
    assert "<p>Training diverged within 1 update" in (tmp_path / "run" / "report.html").read_text()
    assert not (tmp_path / "run" / "model.keras").exists()


def test_a_run_that_is_done_leaves_again_what_readers_look_at(said, pages, tmp_path):
    run = tmp_path / "run"
    command = "train", "linear_regression", "--preset", "smoke", "--run-dir", run
    names = ("curves.png", "report.html", "model_card.md")
    assert said(*command)[0] == 0
    for name in names:
        (run / name).unlink()
    status, out, err = said(*command)
    assert (status, err) == (0, "")
    assert "is done already; this is its result." in out
    assert [line.rpartition(": ")[2] for line in out.splitlines()[-3:]] == [str(run / name) for name in names]
    assert all((run / name).exists() for name in names)


@pytest.mark.usefixtures("pages")
def test_what_cannot_be_drawn_undoes_nothing(said, tmp_path):
    run = tmp_path / "run"
    command = "train", "linear_regression", "--preset", "smoke", "--run-dir", run
    assert said(*command)[0] == 0
    (run / "metrics.csv").write_text("epoch,loss\n0,zero\n")
    for name in ("model_card.md", "curves.png", "report.html"):
        (run / name).unlink()
    status, out, _ = said(*command)
    assert status == 0
    assert "No learning curves: " in out
    assert "No report: " in out
    assert f"Model card: {run / 'model_card.md'}" in out
    assert (run / "model_card.md").exists()


TWICE = """
import sys
from recipes.__main__ import main
assert main(sys.argv[1:]) == 0
assert not {"keras", "tensorflow", "matplotlib"} & sys.modules.keys()
"""


@pytest.mark.usefixtures("pages")
def test_a_run_that_is_done_is_told_without_keras_and_its_pages_stay_as_they_are(said, tmp_path):
    command = ["train", "linear_regression", "--preset", "smoke", "--run-dir", str(tmp_path)]
    status, first, _ = said(*command)
    assert status == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    found = subprocess.run([sys.executable, "-c", TWICE, *command], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    told = [line for line in first.splitlines() if not line.startswith("epoch ")]
    assert found.stdout.splitlines() == [f"{tmp_path} is done already; this is its result.", *told]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("pages")
def test_quiet_is_the_result_alone_and_verbose_a_line_for_each_epoch(said, tmp_path):
    command = ["train", "linear_regression", "--preset", "smoke", "--run-dir"]
    status, out, err = said(*command, tmp_path / "quiet", "--quiet")
    assert (status, err) == (0, "")
    assert [line.partition(" = ")[0] for line in out.splitlines()] == ["y"]
    assert (tmp_path / "quiet" / "report.html").exists()
    status, out, err = said(*command, tmp_path / "verbose", "--verbose")
    assert (status, err) == (0, "")
    epochs = len((tmp_path / "verbose" / "metrics.csv").read_text().splitlines()) - 1
    assert [f"epoch {number}/{epochs}: loss " in out for number in range(1, epochs + 1)] == [True] * epochs
    status, _, err = said(*command, tmp_path / "both", "--quiet", "--verbose")
    assert status == 2
    assert err.startswith("recipes: argument --verbose: not allowed with argument --quiet (see ")


@pytest.mark.usefixtures("pages")
def test_several_seeds_have_a_row_and_each_its_page(said, tmp_path):
    run, results = tmp_path / "run", tmp_path / "results"
    command = "train", "linear_regression", "--preset", "smoke", "--seeds", 2, "--run-dir", run, "--results", results
    status, out, err = said(*command)
    assert (status, err) == (0, "")
    assert "(standard deviation of 2 seeds), 95 % interval of the mean" in out
    assert out.endswith(f"A row in {results / 'linear_regression.csv'}.\n")
    for seed in (0, 1):
        assert {"curves.png", "report.html", "model_card.md"} <= {p.name for p in (run / f"seed-{seed}").iterdir()}


@pytest.mark.parametrize("seeds", ["1", "0", "-3", "many", "10001"])
def test_numbers_of_seeds_that_cannot_be(said, tmp_path, seeds):
    status, _, err = said("train", "linear_regression", f"--seeds={seeds}", "--run-dir", tmp_path / "run")
    assert (status, err) == (2, f"recipes: --seeds must lie in 2 to 10000; it is {seeds}\n")
