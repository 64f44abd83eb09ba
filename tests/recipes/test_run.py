import dataclasses
import json

import pytest

from recipes.errors import WorldError
from recipes.run import Run


@dataclasses.dataclass(frozen=True)
class Settings:
    epochs: int = 3


def test_the_default_directory_is_named_after_recipe_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run("some_recipe", Settings())
    assert run.directory.parts[:2] == ("runs", "some_recipe")
    assert json.loads((run.directory / "config.json").read_text()) == {"recipe": "some_recipe", "epochs": 3}


def test_a_directory_is_never_used_twice(tmp_path):
    Run("some_recipe", Settings(), tmp_path / "run")
    with pytest.raises(WorldError, match="holds a run already"):
        Run("some_recipe", Settings(), tmp_path / "run")


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    run = Run("some_recipe", Settings(), tmp_path)

    def fails(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(WorldError, match=r"config\.json: No space left on device"):
        run._replace("config.json", fails)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 3
