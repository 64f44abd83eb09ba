"""Recipes of the package and of elsewhere, as commands name them."""

import json
import re
import subprocess
import sys

import pytest

from recipes import find as recipes
from recipes.commands import parse
from recipes.commands.recipe_name import named
from recipes.errors import CommandError
from tests.conftest import ROOT

MINE = '''
import abc

from recipes.linear_regression import LinearRegression
from recipes.settings import whole


class Mine(LinearRegression):
    """A line of my own, 100 % of it.

    More about it.
    """

    epochs = 7
    width: int = whole(3, "of the line", most=9, changes="files")
    objectives = {}


class Searched(LinearRegression):
    """Another line."""


class Base(LinearRegression, is_base=True):
    """No recipe yet."""

    @abc.abstractmethod
    def tell(self):
        """A method that a recipe of it has to have."""


thing = 3
'''


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A directory with a module that has recipes, from which it can be imported."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("import this_is_not_there\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("mine", "broken", "wrong", "inside", "inside.deep"):
        sys.modules.pop(name, None)


def test_settings_of_a_recipe_of_elsewhere_are_options(elsewhere, capsys):
    asked = parse(["train", "mine:Mine", "--width", "4", "--seed", "2"])
    assert (asked.recipe.__name__, asked.width, asked.seed) == ("Mine", 4, 2)
    assert not hasattr(asked, "epochs")
    with pytest.raises(SystemExit):
        parse(["train", "mine:Mine", "--help"])
    out = capsys.readouterr().out
    assert "A line of my own, 100 % of it." in out
    assert "--width N" in out


WRONG = [
    (["train", "mine:Mine", "--width", "10"], "--width must be a whole number from 1 to 9; it is 10"),
    (["train", "mine:Mine", "--wdith", "3"], "no option '--wdith'; did you mean --width"),
    (["train", "mine:Main"], "no recipe 'mine:Main'; did you mean mine:Mine?"),
    (["train", "mine:thing"], "recipe mine:thing: thing is no subclass of recipes.recipe.Recipe"),
    (["train", "mine:Base"], "recipe mine:Base: Base is what recipes are made of, and has no method `tell`"),
    (["show", "broken:Mine"], "recipe broken:Mine: ModuleNotFoundError: No module named 'this_is_not_there'"),
    (["train", "wrong:Mine"], "recipe wrong:Mine: SyntaxError"),
    (["train", "nowhere:Mine"], "recipe nowhere:Mine: ModuleNotFoundError"),
    (["train", ":"], "recipe :: ValueError"),
    (["train"], "linear_regression; one of your own is written module:Class"),
    (["tune", "mine:Mine"], "mine:Mine cannot be searched or compared"),
    (["compare", "mine:Mine"], "mine:Mine cannot be searched or compared"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_mistakes_take_one_line_and_status_2(said, elsewhere, arguments, expected):
    status, out, err = said(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert expected in err


WRITTEN = {  # what somebody may write, and what is told
    "mine.Mine": "no recipe 'mine.Mine'; did you mean mine:Mine?",
    "mine.py:Mine": "no recipe 'mine.py:Mine'; did you mean mine:Mine?",
    "./mine.py:Mine": "no recipe './mine.py:Mine'; did you mean mine:Mine?",
    "mine:mine": "no recipe 'mine:mine'; did you mean mine:Mine?",
    "mine:MINE": "no recipe 'mine:MINE'; did you mean mine:Mine?",
    "mine:": "no recipe 'mine:'; did you mean mine:Mine or mine:Searched?",
    "mine": "no recipe 'mine'; did you mean mine:Mine or mine:Searched?",
    "mine.py": "no recipe 'mine.py'; there are: mine:Mine, mine:Searched",
    "mine:Perceptron": "no recipe 'mine:Perceptron'; there are: mine:Mine, mine:Searched",
    "inside.deep.Deep": "no recipe 'inside.deep.Deep'; did you mean inside.deep:Deep?",
    "inside/deep.py:Deep": "no recipe 'inside/deep.py:Deep'; did you mean inside.deep:Deep?",
    "inside.deep": "no recipe 'inside.deep'; did you mean inside.deep:Deep?",
    "Linear-Regression": "no recipe 'Linear-Regression'; did you mean linear_regression?",
    "linear_regression.py": "no recipe 'linear_regression.py'; did you mean linear_regression?",
    "recipes.linear_regression": "no recipe 'recipes.linear_regression'; did you mean linear_regression?",
    "linear_regression:LinearRegression": "did you mean linear_regression?",
    "broken": "there are: allen_cahn, … linear_regression; one of your own is written module:Class",
    "nowhere.Mine": "there are: allen_cahn, … linear_regression; one of your own is written nowhere:Mine",
    "vgg": "no recipe 'vgg'; there are: allen_cahn, … linear_regression; one of your own is written module:Class",
    "x" * 300: "one of your own is written module:Class",
    "linear_regresion": "no recipe 'linear_regresion'; did you mean linear_regression?",
}


@pytest.mark.parametrize("written", WRITTEN)
def test_what_to_write_instead_is_told(elsewhere, written):
    (elsewhere / "inside").mkdir()
    (elsewhere / "inside" / "deep.py").write_text(MINE.replace("class Mine", "class Deep").partition("class Se")[0])
    with pytest.raises(CommandError) as caught:
        named(written)
    first, _, last = WRITTEN[written].rpartition(" … ")
    assert first in str(caught.value)
    assert str(caught.value).endswith(last)


def test_a_module_that_is_no_recipe_is_no_choice_and_breaks_no_help(said, monkeypatch, capsys):
    faults = ["half_done.py cannot be imported: NameError: name 'layers' is not defined"]
    monkeypatch.setattr("recipes.commands.recipe_name.importable", lambda: (recipes.importable()[0], faults))
    monkeypatch.setattr("recipes.commands.list_recipes.importable", lambda: (recipes.importable()[0], faults))
    with pytest.raises(SystemExit):
        parse(["train", "--help"])
    assert "half_done" not in capsys.readouterr().out
    status, out, err = said("list")
    assert (status, err) == (0, f"recipes: {faults[0]}\n")
    assert len(out.splitlines()) == len(recipes.names())


def test_a_recipe_of_elsewhere_can_be_searched(elsewhere):
    asked = parse(["tune", "mine:Searched", "--max-epochs", "3"])
    assert (asked.recipe.__name__, asked.max_epochs) == ("Searched", 3)


@pytest.mark.usefixtures("pages")
def test_a_recipe_of_elsewhere_is_trained_and_its_run_used(said, elsewhere):
    status, out, err = said("train", "mine:Mine", "--width", 5, "--run-dir", "run")
    assert (status, err) == (0, "")
    assert "after 7 updates" in out
    config = json.loads((elsewhere / "run" / "config.json").read_text())
    assert (config["recipe"], config["width"], config["epochs"]) == ("mine:Mine", 5, 7)
    page = re.sub("</?span>", "", (elsewhere / "run" / "report.html").read_text())
    assert "python -m recipes train mine:Mine --width 5" in page
    assert "# mine:Mine on a line with noise" in (elsewhere / "run" / "model_card.md").read_text()
    assert said("evaluate", "run")[0] == 0
    assert said("report", "run", "--out", "page.html")[0] == 0


def test_it_is_found_from_the_directory_that_the_command_is_given_in(elsewhere):
    environment = {"PATH": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "recipes", "show", "mine:Mine"]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A line of my own, 100 % of it.")


def test_help_names_the_recipes_that_the_command_is_for(capsys):
    for command, has_gan in (("train", True), ("tune", False), ("compare", False)):
        with pytest.raises(SystemExit) as done:
            parse([command, "--help"])
        assert done.value.code == 0
        out = capsys.readouterr().out
        assert "linear_regression" in out
        assert ("cifar10_gan" in out) == has_gan
