import csv
import json
import os
import shutil
import subprocess
import sys

import keras
import pytest

from callbacks.exact_resume import read_state
from recipes.__main__ import main
from recipes.data import load
from recipes.run.lock import Lock
from tests.conftest import ROOT

TRAIN = ("train", "cifar10_cnn", "--preset", "smoke")
FILES = [
    "config.json",
    "environment.json",
    "state.npz",
    "metrics.csv",
    "timing.csv",
    "model.keras",
    "confusion.npz",
    "result.json",
]


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def contents(directory):
    return {p.relative_to(directory): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_a_finished_run_gives_its_result_and_changes_nothing(said, copy):
    before = contents(copy)
    status, out, err = said(*TRAIN, "--epochs", 4, "--run-dir", copy)
    assert (status, err) == (0, "")
    assert f"{copy} is done already" in out
    assert "Test accuracy" in out
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("option", "value"),
    [("--learning-rate", 0.1), ("--seed", 1), ("--epochs", 3), ("--optimizer", "sgd"), ("--clipping", "none")],
)
def test_a_changed_option_is_named(said, copy, option, value):
    before = contents(copy)
    arguments = dict([("--epochs", 4), (option, value)])
    status, out, err = said(*TRAIN, *(word for pair in arguments.items() for word in pair), "--run-dir", copy)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{option}: {copy} was begun with" in err
    assert contents(copy) == before


def test_a_changed_data_set_is_named_before_it_is_looked_for(said, copy):
    status, _, err = said(*TRAIN, "--epochs", 4, "--data", "folder:/nowhere", "--run-dir", copy)
    assert (status, err.count("\n")) == (2, 1)
    assert "--data: " in err


@pytest.mark.slow
def test_more_epochs_go_on(said, copy):
    first = (copy / "metrics.csv").read_text().splitlines()
    status, out, _ = said(*TRAIN, "--epochs", 6, "--run-dir", copy)
    assert status == 0
    assert "The schedule is that of 6 epochs from here on, and was not before." in out
    assert "Going on after epoch 4 of 6." in out
    assert "Epoch 4/6" not in out
    rows = (copy / "metrics.csv").read_text().splitlines()
    assert rows[: len(first)] == first
    assert len(rows) == len(first) + 2
    assert json.loads((copy / "result.json").read_text())["updates"] == 6
    assert json.loads((copy / "config.json").read_text())["epochs"] == 6


@pytest.mark.slow
def test_more_epochs_of_a_schedule_without_an_end_are_those_of_a_longer_run(said, tmp_path):
    options = ["--schedule", "inverse_time:0.1"]
    for epochs in (2, 4):
        assert said(*TRAIN, *options, "--epochs", epochs, "--run-dir", tmp_path / "raised")[0] == 0
    assert said(*TRAIN, *options, "--epochs", 4, "--run-dir", tmp_path / "once")[0] == 0
    (about, arrays), (expected, others) = (read_state(tmp_path / name / "state.npz") for name in ("raised", "once"))
    assert about["history"] == expected["history"]
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}


def test_tables(finished):
    with open(finished / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "gradient_norm", "learning_rate"):
        assert all(float(row[name]) >= 0 for row in rows)
    with open(finished / "timing.csv", newline="") as file:
        assert [float(row["seconds"]) > 0 for row in csv.DictReader(file)] == [True] * 4
    events = [p for p in (finished / "tensorboard").rglob("*") if "tfevents" in p.name]
    assert {p.parent.name for p in events} == {"train", "validation"}


@pytest.mark.slow
def test_the_test_part_is_looked_at_once_and_after_training(monkeypatch, tmp_path):
    looks = []

    def watch(name):
        method = getattr(keras.Model, name)

        def watched(self, x=None, *args, **options):
            looks.append((name, sum(len(batch[0]) for batch in x), int(self.optimizer.iterations.numpy())))
            return method(self, x, *args, **options)

        monkeypatch.setattr(keras.Model, name, watched)

    for name in ("evaluate", "predict"):
        watch(name)
    assert main([*TRAIN, "--batch-size", "180", "--run-dir", str(tmp_path / "run")]) == 0
    images = load("digits", train_images=300)
    after_epochs = [("evaluate", len(images.validation[1]), update) for update in (1, 2, 3)]
    assert looks == [*after_epochs, ("predict", len(images.test[1]), 3)]


@pytest.mark.slow
def test_early_stopping_and_the_best_weights(said, tmp_path):
    options = ["--epochs", 40, "--early-stopping", 2, "--keep", "best", "--schedule", "constant", "--clipping", "none"]
    directory = tmp_path / "run"
    status, out, _ = said(*TRAIN, *options, "--learning-rate", 0.5, "--run-dir", directory)
    result = json.loads((directory / "result.json").read_text())
    assert status == 0
    assert result["outcome"] == "stopped early"
    assert f"Stopped early, after {result['epochs']} epochs." in out
    with open(directory / "metrics.csv", newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert len(losses) == result["epochs"] < 40
    assert min(range(len(losses)), key=losses.__getitem__) == len(losses) - 3
    assert said(*TRAIN, *options, "--learning-rate", 0.5, "--run-dir", directory)[0] == 0  # done already


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_disk_that_is_full_at_a_write(said, tmp_path, monkeypatch, name):
    """One line, nothing half-written, and with room again the same command ends as if nothing had been."""
    directory = tmp_path / "run"
    replace = os.replace

    def full(part, path):
        if os.path.basename(path) == name:
            raise OSError(28, "No space left on device")
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        status, _, err = said(*TRAIN, "--run-dir", directory)
    assert status == 1
    assert err.count("\n") == 1
    assert str(directory / name) in err
    assert "No space left on device" in err
    assert not list(directory.glob(".part*"))
    if (directory / "state.npz").exists():
        read_state(directory / "state.npz")
    assert said(*TRAIN, "--run-dir", directory)[0] == 0
    assert all((directory / each).exists() for each in FILES)
    assert len((directory / "metrics.csv").read_text().splitlines()) == 4


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_picture_undoes_nothing(said, tmp_path, monkeypatch):
    """The run is done; the same command writes the picture once there is room."""
    replace = os.replace

    def full(part, path):
        if os.path.basename(path) == "curves.png":
            raise OSError(28, "No space left on device")
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        status, out, err = said(*TRAIN, "--run-dir", tmp_path)
    assert (status, err) == (0, "")
    assert f"No learning curves: cannot write {tmp_path / 'curves.png'}: No space left on device" in out
    assert not list(tmp_path.glob(".part*"))
    assert json.loads((tmp_path / "result.json").read_text())["outcome"] == "finished"
    assert said(*TRAIN, "--run-dir", tmp_path)[0] == 0
    assert (tmp_path / "curves.png").exists()


DAMAGES = [
    ("config.json", b'{"epochs": "3"}'),
    ("config.json", b"[" * 100_000),
    ("environment.json", b'{"starts": [{}]}'),
    ("environment.json", b"3"),
    ("state.npz", b""),
    ("tensorboard", b"a file where a directory was"),
]


@pytest.mark.slow_cases('environment.json-{"starts": [{}]}')
@pytest.mark.parametrize(("name", "content"), DAMAGES)
def test_a_damaged_file_is_one_line_or_mended(said, copy, name, content):
    if name == "tensorboard":
        shutil.rmtree(copy / name)
    (copy / name).write_bytes(content)
    status, _, err = said(*TRAIN, "--epochs", 5, "--run-dir", copy)
    assert status in (0, 1, 2)
    assert err.count("\n") == (1 if status else 0)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "options",
    [
        ["cifar10_cnn", "--preset", "smoke", "--optimizer", "sgd", "--learning-rate", "1e37", "--clipping", "none"],
        ["linear_regression", "--learning-rate", "10"],
    ],
)
def test_a_run_that_diverges_is_no_success_whatever_its_optimizer(said, tmp_path, options):
    status, _, err = said("train", *options, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1)
    assert "training diverged" in err
    result = json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=pytest.fail)
    assert result["outcome"] == "diverged"
    assert set(result) == {"outcome", "epochs", "updates", "training_seconds", "reason", "of"}  # nothing was judged
    assert not (tmp_path / "run" / "model.keras").exists()
    status, _, err = said("train", *options, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (1, 1)  # it is done, and this is what came of it
    assert "training diverged" in err


def test_a_finished_run_needs_no_lock(said, copy, monkeypatch):
    monkeypatch.setattr(Lock, "take", lambda self: pytest.fail("it wrote a lock"))
    assert said(*TRAIN, "--epochs", 4, "--run-dir", copy)[0] == 0


def test_a_damaged_state_is_named(said, copy):
    (copy / "state.npz").write_bytes(b"damaged")
    status, _, err = said(*TRAIN, "--epochs", 5, "--run-dir", copy)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{copy / 'state.npz'} is damaged" in err


@pytest.mark.slow
def test_devices_that_share_a_batch_judge_as_one_does(tmp_path):
    """Each in a process of its own: TensorFlow mixes up the sums over devices of several strategies in one."""
    words = ["train", "cifar10_cnn", "--preset", "smoke", "--variant", "basic", "--l2", "0.01", "--epochs", "1"]
    found = {}
    for strategy in ("cpu", "mirrored:2"):
        place = tmp_path / strategy
        command = [sys.executable, "-m", "recipes", *words, "--strategy", strategy, "--run-dir", str(place)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        found[strategy] = json.loads((place / "result.json").read_text())
    assert found["mirrored:2"]["test_loss"] == pytest.approx(found["cpu"]["test_loss"], rel=1e-4)
    assert found["mirrored:2"]["test_accuracy"] == found["cpu"]["test_accuracy"]
