"""KerasTuner's own way to several machines: a chief, and workers that ask it."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks.postgresql import free_port

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = """
import sys
import keras_tuner
from recipes.linear_regression import LinearRegression
from recipes.tuning import Place, RecipeHyperModel, Tuner

hypermodel = RecipeHyperModel(LinearRegression(epochs=3), "learning_rate=0.05:0.9,momentum=0.0|0.5")
oracle = keras_tuner.oracles.RandomSearchOracle(hypermodel.objective(), max_trials=3, seed=1)
tuner = Tuner(hypermodel, oracle, workers=2, place=Place("cpu"), directory=sys.argv[1], project_name="search")
tuner.search()
"""


@pytest.fixture
def role(tmp_path):
    """Begins the script in one of the roles; all have ended after the test."""
    port, begun = str(free_port()), []

    def begin(name):
        variables = {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
        environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        begun.append(subprocess.Popen(command, env=environment, **pipes))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_worker_trains_what_the_chief_gives_it(role, tmp_path):
    chief = role("chief")
    worker = role("tuner1")
    _, said = worker.communicate(timeout=120)
    assert worker.returncode == 0, said
    assert chief.wait(timeout=60) == 0  # it has told all to stop
    trials = [json.loads(path.read_text()) for path in (tmp_path / "search").glob("trial_*/trial.json")]
    assert [trial["status"] for trial in trials] == ["COMPLETED"] * 3
    for trial in trials:
        result = json.loads((tmp_path / "search" / "trials" / trial["trial_id"] / "result.json").read_text())
        assert trial["score"] == pytest.approx(result["distance"])
