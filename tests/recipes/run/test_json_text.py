import json
import math

import pytest

from recipes import cifar10_cnn
from recipes.__main__ import main
from recipes.command_line import RECIPES
from recipes.run.json_text import aside, text_of
from recipes.settings.clippers import CLIPPERS
from recipes.settings.optimizers import KERAS, OURS
from recipes.settings.schedules import SCHEDULES


@pytest.mark.parametrize(
    ("options", "names"),
    [((), RECIPES), (("--optimizers",), (*OURS, *KERAS)), (("--clippers",), CLIPPERS), (("--schedules",), SCHEDULES)],
)
def test_lists(capsys, options, names):
    assert main(["list", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == list(names)
    assert all(each["usage"].startswith(each["name"]) and len(each["about"]) > 5 for each in found)


def test_a_recipe(capsys):
    assert main(["show", "cifar10_cnn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fields = cifar10_cnn.Settings.__dataclass_fields__
    assert {name: each["default"] for name, each in found["settings"].items()} == {
        name: field.default for name, field in fields.items()
    }
    assert found["presets"] == cifar10_cnn.PRESETS
    assert found["variants"] == cifar10_cnn.VARIANTS


def test_numbers_that_json_does_not_have_are_null():
    assert json.loads(text_of({"a": [math.nan, (math.inf, 1.5)], "ü": None})) == {"a": [None, [None, 1.5]], "ü": None}


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_said_besides_goes_to_the_other_stream(capsys, wanted):
    with aside(wanted):
        print("besides")
    assert capsys.readouterr() == (("", "besides\n") if wanted else ("besides\n", ""))


def test_a_path_whose_bytes_are_no_text_can_be_written_and_is_the_same_again():
    text = text_of({"data": "folder:/\udcff"})
    text.encode()
    assert json.loads(text) == {"data": "folder:/\udcff"}
