"""What is read from a directory of this version, and what is told of one that is damaged."""

import json

import pytest

from recipes import training
from recipes.comparison import Budget, Comparison, Contender
from recipes.errors import CommandError, WorldError
from recipes.find import find, names
from recipes.run import Run, SavedRun, read_directory
from recipes.tuning import Search
from tests.recipes.idle import Idle

DATA = {"name": "digits", "classes": ["0", "1"], "digest": "abc", "origin": {"data_dir": "/data"}}


def begun(directory, kind="run", result=None, recipe=None, **extra):
    with Run(recipe or Idle(), directory, extra, kind=kind) as run:
        run.begin(DATA)
        if result is not None:
            run.finish(result)
    return run


@pytest.mark.parametrize("kind", ["run", "trial", "seeds", "search", "comparison"])
def test_a_directory_is_read(tmp_path, kind):
    begun(tmp_path, kind, trials=3)
    found = read_directory(str(tmp_path))
    assert (found.directory, found.kind, found.recipe, found.result) == (tmp_path, kind, Idle(), None)
    assert found.config["trained_on"] == DATA
    assert [start["command"][:3] for start in found.starts] == [["python", "-m", "recipes"]]
    assert not found.is_done
    begun(tmp_path, kind, {"score": 1.0}, trials=3)
    found = read_directory(tmp_path)
    assert (found.is_done, found.result["score"], len(found.starts)) == (True, 1.0, 2)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "trials": 4}))  # more are asked for
    assert not read_directory(tmp_path).is_done


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "party"}, "its kind is 'party'"),
        ({"kind": None}, "its kind is None"),
        ({"kind": []}, "its kind is"),
        ({"recipe": 3}, "config.json is damaged"),
        ({"epochs": None}, "--epochs is none"),
        ({"epochs": "3"}, "--epochs is '3'"),
        ({"learning_rate": True}, "--learning-rate is yes"),
        ({"optimizer": "adm"}, "did you mean adam"),
    ],
)
def test_a_config_of_something_else_is_one_line(tmp_path, changed, said):
    begun(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(WorldError) as caught:
        read_directory(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'} is damaged, or of another version: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("has", "has_not", "said"),
    [
        ({}, ["early_stopping"], "before tests.recipes.idle:Idle had the setting --early-stopping"),
        ({}, ["variant", "seed"], "before tests.recipes.idle:Idle had the setting --seed"),
        ({"deep": 3}, [], "when tests.recipes.idle:Idle had the setting --deep, which it has no longer"),
        ({"stops": 3}, ["early_stopping"], "before tests.recipes.idle:Idle had the setting --early-stopping"),
    ],
)
def test_a_recipe_that_had_other_settings_is_told_in_plain_words(tmp_path, has, has_not, said):
    begun(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | has
    left = {name: value for name, value in config.items() if name not in has_not}
    (tmp_path / "config.json").write_text(json.dumps(left))
    with pytest.raises(WorldError) as caught:
        read_directory(tmp_path)
    assert str(caught.value) == f"{tmp_path} was written {said}, so this version of the recipe cannot read it"


@pytest.mark.parametrize("recipe", names())
def test_every_kind_of_config_has_settings_and_what_no_setting_is_called(tmp_path, recipe):
    """By which a setting that a recipe has no longer is told from what else is written down."""
    recipe = find(recipe)()
    contenders = (Contender("sgd", {"optimizer": "sgd"}),)
    kinds = {
        "run": {},
        "seeds": {"seeds": 3},
        "trial": {},
        "search": Search(space=("batch_size=1|2",)).described(),
        "comparison": Comparison(contenders, Budget("epochs", 3)).described(),
    }
    for kind, extra in kinds.items():
        begun(tmp_path / kind, kind, recipe=recipe, **training.computing(recipe, "auto", None), **extra)
        assert read_directory(tmp_path / kind).recipe == recipe


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[" * 100_000),
        ("result.json", "3"),
        ("environment.json", "{"),
        ("environment.json", '{"starts": 3}'),
        ("environment.json", '{"starts": [3]}'),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    begun(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(WorldError) as caught:
        read_directory(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name} is damaged")
    assert "\n" not in str(caught.value)


def test_where_nothing_is_and_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(WorldError, match=r"holds no run, search or comparison \(no config.json\)"):
        read_directory(tmp_path / "nothing")
    begun(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"recipe": "my_recipes:Gone"}))
    with pytest.raises(CommandError, match="recipe my_recipes:Gone: ModuleNotFoundError"):
        read_directory(tmp_path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("search", "holds a search; train its best by the command that it ended with"),
        ("trial", "holds a trial of a search, which has no model"),
        ("comparison", "holds a comparison; give one of its runs, such as .*seed-0"),
        ("seeds", "holds the runs of several seeds; give one, such as .*seed-0"),
    ],
)
def test_what_is_no_run_has_no_model(tmp_path, kind, said):
    begun(tmp_path, kind, {"score": 1.0})
    with pytest.raises(CommandError, match=said):
        SavedRun(tmp_path, "evaluate")


def test_a_finished_run_is_read_and_not_written(tmp_path):
    run = begun(tmp_path, result={"score": 1.0, "outcome": "finished"})
    with pytest.raises(WorldError, match="is not done; train it to its end first"):
        SavedRun(tmp_path, "evaluate")
    run.write("model.keras", lambda path: path.write_bytes(b"a model"))
    saved = SavedRun(tmp_path, "evaluate")
    assert (saved.recipe, saved.data, saved.data_dir) == (Idle(), DATA, "/data")
    before = sorted(tmp_path.iterdir())
    saved.write("classifier.keras", lambda path: path.write_bytes(b""))
    saved.write_arrays("confusion.npz", counts=[1])
    assert sorted(tmp_path.iterdir()) == before
    assert [saved.once("judge", object) is saved.once("judge", object), saved.once("a", int)] == [True, 0]
    with pytest.raises(WorldError, match=r"model\.keras cannot be loaded"):
        saved.model()
    with pytest.raises(CommandError, match=r"predict: a run of tests\.recipes\.idle:Idle takes evaluate, export"):
        SavedRun(tmp_path, "predict")


def test_a_run_that_diverged_has_left_no_model(tmp_path):
    begun(tmp_path, result={"outcome": "diverged"})
    with pytest.raises(WorldError, match="diverged, and has left no model"):
        SavedRun(tmp_path, "evaluate")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "it does not say what was trained on"),
        ({"classes": 3}, "the classes are no list of names"),
        ({"classes": [3]}, "the classes are no list of names"),
        ({"origin": 3}, "it does not say where the images were"),
        ({"origin": {"data_dir": 3}}, "it does not say where the images were"),
    ],
)
def test_data_that_no_images_have_given(tmp_path, data, said):
    begun(tmp_path, result={"score": 1.0})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"trained_on": data}))
    with pytest.raises(WorldError, match=said):
        SavedRun(tmp_path, "evaluate")
