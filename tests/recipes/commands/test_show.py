import json

import pytest

from recipes.recipe import find, names
from recipes.settings.fields import CHANGES


@pytest.mark.parametrize("name", names())
def test_a_recipe_has_its_settings_and_presets(said, name):
    status, out, err = said("show", name)
    assert (status, err) == (0, "")
    assert f"python -m recipes train {name}" in out
    about, settings, presets = out.replace("\nPresets:\n", "\nSettings:\n").split("\nSettings:\n")
    assert about.startswith(find(name).__doc__.partition("\n")[0])
    lines = {line.split()[0]: line for line in settings.splitlines() if line}
    assert lines.keys() == find(name).settings().keys()
    assert all(setting.help in lines[key] for key, setting in find(name).settings().items())
    assert [line.split()[0] for line in presets.splitlines() if line] == list(find(name).presets)


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
