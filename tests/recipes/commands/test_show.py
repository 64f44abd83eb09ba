import json

import pytest

from recipes.commands import parse
from recipes.find import find, names
from recipes.settings import switch
from recipes.settings.fields import CHANGES, written
from tests.recipes.idle import Idle


class Switched(Idle):
    """A recipe that has a switch, and values that Python writes in another way than the command line."""

    shuffled: bool = switch(True, "whether samples come in random order")
    mirrored: bool = switch(None, "whether images are mirrored")

    presets = {**Idle.presets, "smoke": {"shuffled": False, "momentum": None, "epochs": 2}}


SWITCHED = "tests.recipes.commands.test_show:Switched"


def test_values_are_written_as_the_command_line_takes_them(said, capsys):
    _, out, _ = said("show", SWITCHED, "--verbose")
    lines = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.startswith("    ")}
    assert (lines["shuffled"], lines["mirrored"], lines["momentum"]) == ("yes", "none", "none")
    assert "    smoke            shuffled=no, momentum=none, epochs=2\n" in out
    with pytest.raises(SystemExit):
        parse(["train", SWITCHED, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "whether samples come in random order: yes or no (default: yes)" in text
    assert "whether images are mirrored: yes or no, or none (default: none)" in text
    assert "epochs without a lower loss: a whole number >= 1, or none (default: none)" in text


@pytest.mark.parametrize("name", names())
def test_a_recipe_has_its_settings_and_presets(said, name):
    status, out, err = said("show", name, "--verbose")
    assert (status, err) == (0, "")
    assert f"python -m recipes train {name}" in out
    about, settings, presets = out.replace("\nPresets:\n", "\nSettings:\n").split("\nSettings:\n")
    assert about.startswith(find(name).__doc__.partition("\n")[0])
    lines = {line.split()[0]: line for line in settings.splitlines() if line}
    assert lines.keys() == find(name).settings().keys()
    assert all(setting.help in lines[key] for key, setting in find(name).settings().items())
    assert [line.split()[0] for line in presets.splitlines() if line] == list(find(name).presets)


@pytest.mark.parametrize("name", names())
def test_what_is_its_own_comes_first_and_the_rest_is_folded(said, name):
    _, out, _ = said("show", name)
    cls = find(name)
    own = out.partition("\nPresets:\n")[0].partition("\nSettings of its own, or with a default of its own:\n")[2]
    inherited = {key: setting for base in cls.__bases__ for key, setting in base.settings().items()}
    changed = [key for key, setting in cls.settings().items() if setting != inherited.get(key)]
    assert [line.split()[0] for line in own.splitlines() if line] == changed
    rest = " ".join(out.partition("\nSettings that other recipes have, too")[2].split())
    assert all(f" {key}={written(cls.settings()[key].default)}" in rest for key in cls.settings() if key not in changed)
    assert all(len(line) <= 120 for line in out.partition("\nSettings that other recipes")[2].splitlines())


def test_a_preset_says_whose_it_is(said):
    assert "(of variant basic)" in said("show", "cifar10_cnn")[1]


@pytest.mark.parametrize("name", names())
def test_a_recipe_in_json(said, name):
    status, out, _ = said("show", name, "--json")
    assert status == 0
    found, cls = json.loads(out), find(name)
    assert {key: each["default"] for key, each in found["settings"].items()} == {
        key: setting.default for key, setting in cls.settings().items()
    }
    for key, setting in cls.settings().items():
        each = found["settings"][key]
        assert (each["help"], each["range"], each["optional"]) == (setting.help, setting.range, setting.is_optional)
        assert each["changes"] in CHANGES
    assert found["presets"] == cls.presets
    assert found["variants"] == cls.variants
