"""The commands that pages offer for what a directory holds."""

import json

import pytest

from recipes.commands import parse
from recipes.commands.parser import resolved
from recipes.report import write_report
from recipes.report.repeat import last_command, training_command
from recipes.run import read_directory
from tests.recipes.run.test_version_before import written

COMMAND = ["python", "-m", "recipes", "tune", "linear_regression", "--run-dir", "here"]


@pytest.fixture
def before(tmp_path):
    """A function that leaves a directory of version 0.1, with the command that it was begun with."""

    def leave(name):
        written(tmp_path, name)
        start = {"command": COMMAND, "versions": {"keras-descent": "0.1.0"}}
        (tmp_path / "environment.json").write_text(json.dumps({"starts": [start]}))
        return tmp_path

    return leave


@pytest.mark.parametrize("name", ["search", "comparison"])
def test_no_command_is_offered_that_this_version_refuses(before, name):
    directory = before(name)
    assert last_command(read_directory(directory)) is None
    text = write_report([directory]).read_text()
    assert f"Version 0.1 wrote this {name}; this version shows it, and does not go on with it." in text
    assert "<code>" not in text


def test_a_run_of_version_0_1_can_be_trained_anew(before):
    found = read_directory(before("line_mini"))
    command = "python -m recipes train linear_regression --preset mini_batch --epochs 20 --momentum 0.0 --strategy cpu"
    assert training_command(found) == command
    assert resolved(parse(command.split()[3:])) == found.recipe
