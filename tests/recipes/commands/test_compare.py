"""How `compare` makes a comparison of its options."""

import types

import pytest

from recipes import comparison as comparisons
from recipes.commands import compare, parse
from recipes.errors import WorldError


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
