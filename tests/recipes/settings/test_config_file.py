"""Settings from a file, on the command line and below it."""

import dataclasses
import json
import pathlib

import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError
from recipes.recipe import TAKEN
from recipes.settings.config_file import from_file
from recipes.settings.presets import resolve


def read(path, given=None, preset=None):
    return from_file(Cifar10CNN, path, given or {}, preset, TAKEN)[0]


@pytest.fixture
def file(tmp_path):
    def make(text):
        path = tmp_path / "settings"
        path.write_text(text)
        return path

    return make


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 7, "optimizer": "momentum", "momentum": 0.5},
        {"variant": "basic", "schedule": "cosine:end=0.1"},
        {"optimizer": "lbfgs:history=5"},  # beside which some settings have no effect
    ],
)
def test_what_a_run_has_written_works_as_it_is(file, given):
    recipe = resolve(Cifar10CNN, given)
    content = {"kind": "run", "recipe": "cifar10_cnn", **dataclasses.asdict(recipe), "backend": "jax", "trained_on": {}}
    path = file(json.dumps(content))
    assert read(path) == recipe
    assert read(path, {"epochs": 9}) == dataclasses.replace(recipe, epochs=9)


@pytest.mark.parametrize("text", ['{"epochs": 7, "learning_rate": 0.5}', "epochs: 7\nlearning_rate: 0.5  # high\n"])
def test_some_settings_in_json_or_yaml_are_those_of_a_command_line(file, text):
    assert read(file(text)) == resolve(Cifar10CNN, {"epochs": 7, "learning_rate": 0.5})
    assert read(file(text), {"epochs": 2}, "smoke") == resolve(Cifar10CNN, {"epochs": 2, "learning_rate": 0.5}, "smoke")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: cifar10_gan", "is of cifar10_gan; this is cifar10_cnn"),
        ("learning_rat: 1", "no setting 'learning_rat'; did you mean learning_rate or"),
        ("epochs: many", "--epochs must be a whole number >= 1; it is many"),
        ("- epochs", "holds no settings; write NAME: VALUE in each line"),
        ("", "holds no settings"),
        ("{", "is neither JSON nor YAML: "),
        ("1: 2", "holds no settings"),
        ("momentum: 0.5\noptimizer: lbfgs", "--momentum 0.5"),
        ("epochs: 3\ndtype: bfloat16", "dtype is no setting of cifar10_cnn; give --dtype"),
        ("run_dir: runs/a", "run_dir is no setting of cifar10_cnn; give --run-dir"),
    ],
)
def test_mistakes_name_the_file_in_one_line(file, text, message):
    with pytest.raises(CommandError) as error:
        read(file(text))
    assert str(error.value).startswith("--config ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_holds_all_leaves_no_place_for_a_preset(file, tmp_path):
    path = file(json.dumps(dataclasses.asdict(Cifar10CNN())))
    with pytest.raises(CommandError, match="it holds all settings, so leave out --preset"):
        read(path, preset="smoke")
    with pytest.raises(CommandError, match="No such file"):
        read(pathlib.Path(tmp_path, "none"))
