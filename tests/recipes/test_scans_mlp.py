"""A recipe of a user, outside of the package: every command takes it as it takes those of the package."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from recipes.__main__ import main
from tests.conftest import ROOT

SOURCE = pathlib.Path(__file__).with_name("scans_mlp.py")
NAME = "scans_mlp:ScansMLP"
SMALL = ["--preset", "smoke", "--width", "16"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A user's directory with the recipe in it."""
    shutil.copy(SOURCE, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "scans_mlp", raising=False)
    yield tmp_path
    sys.modules.pop("scans_mlp", None)


def done(*words):
    assert main([str(word) for word in words]) == 0


def test_it_is_a_file_of_at_most_45_lines():
    assert len(SOURCE.read_text().splitlines()) <= 45


def test_train_evaluate_predict_export_and_report(place, capsys, pages):
    done("train", NAME, *SMALL, "--run-dir", "run")
    result = json.loads((place / "run" / "result.json").read_text())
    assert result["outcome"] == "finished"
    assert 0 <= result["test_accuracy"] <= 1
    assert json.loads((place / "run" / "config.json").read_text())["recipe"] == NAME
    assert f"python -m recipes train {NAME} --preset smoke --width 16" in re.sub(
        "</?span>", "", (place / "run" / "report.html").read_text()
    )
    assert NAME in (place / "run" / "model_card.md").read_text()
    capsys.readouterr()
    done("evaluate", "run", "--json")
    judged = json.loads(capsys.readouterr().out)
    assert judged["test_accuracy"] == result["test_accuracy"]
    assert judged["test_loss"] == pytest.approx(result["test_loss"], rel=1e-5)
    from PIL import Image

    Image.fromarray(np.full((40, 30), 200, "uint8")).save("scan.png")
    done("predict", "run", "scan.png")
    assert capsys.readouterr().out.startswith("scan.png: ")
    done("export", "run", "--format", "saved_model")
    assert (place / "run" / "saved_model" / "saved_model.pb").exists()
    done("report", "run", "--out", "page.html")
    assert (place / "page.html").stat().st_size > 10_000


def test_show_and_help_know_its_settings(place, capsys):
    done("show", NAME)
    shown = capsys.readouterr().out
    assert "A perceptron on small scans" in shown
    assert "units of each hidden layer" in shown
    done("show", NAME, "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["settings"]["width"]["default"] == 64
    with pytest.raises(SystemExit):
        main(["train", NAME, "--help"])
    assert "--dropout" in capsys.readouterr().out


@pytest.mark.slow
def test_seeds_are_averaged(place):
    done("train", NAME, *SMALL, "--seeds", "2", "--run-dir", "seeds", "--results", "results")
    assert (place / "results" / "scans_mlp.ScansMLP.csv").read_text().count("\n") == 2


@pytest.mark.slow
def test_a_search_and_the_command_that_it_ends_with(place, capsys):
    options = ["--trials", "2", "--tuner", "random", "--max-epochs", "2", "--space", "width=8|16,learning_rate=0.1:1"]
    done("tune", NAME, "--preset", "smoke", *options, "--run-dir", place / "search", "--json")
    said = json.loads(capsys.readouterr().out)
    assert len(said["trials"]) == 2
    assert said["command"].startswith(f"python -m recipes train {NAME} ")
    done("report", "search")


@pytest.mark.slow
def test_a_comparison(place):
    options = ["--optimizers", "momentum,adam", "--budget", "epochs=2", "--seeds", "2", "--trials", "2"]
    done("compare", NAME, "--preset", "smoke", *options, "--run-dir", place / "comparison")
    assert (place / "comparison" / "comparison.csv").read_text().count("\n") == 3
    done("report", "comparison")


@pytest.mark.slow
def test_it_is_killed_and_goes_on_with_the_same_bits(place):
    words = [sys.executable, "-m", "recipes", "train", NAME, "--preset", "smoke", "--epochs", "60", "--run-dir"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*words, "whole"], cwd=place, env=environment, check=True, capture_output=True, timeout=300)
    running = subprocess.Popen([*words, "killed"], cwd=place, env=environment, stdout=subprocess.DEVNULL)
    while not (place / "killed" / "state.npz").exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    subprocess.run([*words, "killed"], cwd=place, env=environment, check=True, capture_output=True, timeout=300)
    whole, killed = ((place / name / "metrics.csv").read_bytes() for name in ("whole", "killed"))
    assert whole == killed
    assert len(json.loads((place / "killed" / "environment.json").read_text())["starts"]) == 2


def test_what_is_missing_is_said_in_one_line(place, capsys):
    (place / "half.py").write_text(
        'from recipes.classification import Classification\n\n\nclass Half(Classification):\n    """Half a recipe."""\n'
    )
    (place / "none.py").write_text("class Other:\n    pass\n")
    for name, words in {
        "half:Half": "Half has no method `network`",
        "none:Other": "no subclass of recipes.recipe.Recipe",
        "none:Missing": "Missing is not there",
        "nowhere:Half": "No module named 'nowhere'",
    }.items():
        assert main(["train", name]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1, said


NOTEBOOK = """\
from recipes import comparison, report, training, tuning
from scans_mlp import ScansMLP


class InACell(ScansMLP):
    \"""A recipe that is defined in a cell, and derives from one in a file.\"""

    width = 8


recipe = InACell.from_preset("smoke", epochs=2)
training.train(recipe, "run")
search = tuning.Search(tuner="random", trials=2, space=("width=8|16", "learning_rate=0.1:1"))
print("best:", report.report_search(recipe, search, *tuning.tune(recipe, search, "search")))
both = tuple(comparison.parse_contenders(InACell, "momentum,adam"))
asked = comparison.Comparison(both, comparison.parse_budget("epochs=2"), seeds=2, trials=2)
report.report_comparison(recipe, asked, *comparison.compare(recipe, asked, "comparison"))
for directory in ("run", "search", "comparison"):
    print("page:", report.write_report([directory]))
"""


@pytest.mark.slow
def test_a_class_of_a_notebook_trains_is_searched_compared_and_reported(place):
    (place / "cells.py").write_text(NOTEBOOK)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "cells.py"]
    ended = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "best: training.train(InACell.from_preset(preset='smoke', epochs=2, " in ended.stdout
    assert ended.stdout.count("page: ") == 3
    config = json.loads((place / "search" / "config.json").read_text())
    assert (config["recipe"], config["kind"]) == ("__main__:InACell", "search")


def test_a_run_of_a_notebook_is_said_to_need_it(place, capsys):
    done("train", NAME, *SMALL, "--run-dir", "run")
    config = json.loads((place / "run" / "config.json").read_text())
    (place / "run" / "config.json").write_text(json.dumps({**config, "recipe": "__main__:InACell"}))
    assert main(["evaluate", "run"]) == 2
    assert "it was defined in a notebook or a script" in capsys.readouterr().err
