"""How `compare` makes a comparison of its options."""

import dataclasses
import json
import types

import pytest

from recipes import comparison as comparisons
from recipes.commands import compare, parse
from recipes.errors import CommandError, WorldError
from recipes.linear_regression import LinearRegression


@pytest.fixture
def asked_for(monkeypatch):
    """A function from words of a command line to the budget that the comparison is called with."""

    def begin(recipe, comparison, run_dir, **places):
        raise WorldError(str(comparison.budget))

    monkeypatch.setattr(compare, "comparisons", types.SimpleNamespace(Comparison=comparisons.Comparison, compare=begin))

    def budget_of(*words):
        asked = parse(["compare", *words, "--optimizers", "sgd,adam"])
        with pytest.raises(WorldError) as caught:
            asked.command(asked)
        return str(caught.value)

    return budget_of


@pytest.mark.parametrize(
    ("words", "budget"),
    [
        ("linear_regression", "epochs=10"),
        ("linear_regression --preset smoke", "epochs=5"),
        ("linear_regression --preset batch", "epochs=10"),  # a preset that sets no epochs
        ("linear_regression --preset stochastic", "epochs=100"),
        ("linear_regression --preset smoke --budget epochs=7", "epochs=7"),
        ("linear_regression --preset smoke --budget updates=30", "updates=30"),
        ("cifar10_fast", "epochs=10"),  # the epochs of a variant's preset are those of a training, and not asked for
        ("cifar10_fast --variant resnet9 --preset smoke", "epochs=3"),
    ],
)
def test_without_a_budget_a_preset_that_is_given_says_how_many_epochs(asked_for, words, budget):
    assert asked_for(*words.split()) == budget


def test_help_says_so(capsys):
    with pytest.raises(SystemExit):
        parse(["compare", "linear_regression", "--help"])
    assert "(the epochs that --preset sets, or else epochs=10)" in " ".join(capsys.readouterr().out.split())


CONFIG = json.dumps({"recipe": "linear_regression", **dataclasses.asdict(LinearRegression(learning_rate=0.3))})


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        ("compare --optimizers sgd", "learning_rate: 0.1", "the learning rate is searched for each optimizer"),
        ("compare --optimizers sgd", "epochs: 3", "give --budget epochs=N"),
        ("compare --optimizers sgd", '{"optimizer": "adam"}', "give --optimizers NAME,NAME"),
        ("tune", "epochs: 3", "give --max-epochs N"),
        ("tune --space learning_rate", "learning_rate: 0.1", "learning_rate is searched for"),
    ],
)
def test_a_file_names_no_setting_that_the_command_decides(tmp_path, words, content, message):
    path = tmp_path / "settings"
    path.write_text(content)
    command, *more = words.split()
    asked = parse([command, "linear_regression", *more, "--config", str(path)])
    with pytest.raises(CommandError, match=message) as error:
        asked.command(asked)
    assert "\n" not in str(error.value)


def test_of_the_file_of_a_run_it_says_what_is_left_out(asked_for, tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(CONFIG)
    assert asked_for("linear_regression", "--config", str(path)) == "epochs=10"
    said = capsys.readouterr().out
    assert f"Of {path}, epochs, optimizer, learning_rate" in said
    assert said.endswith("are left out: a comparison decides them.\n")
