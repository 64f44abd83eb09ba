"""Directories that version 0.1 has written are read, and not trained on.

`before/` has config.json files of it: of runs, of a search and its first trial, of several seeds, of a comparison.
"""

import dataclasses
import json
import pathlib
import shlex
import shutil

import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.cifar10_full_batch import Cifar10FullBatch
from recipes.cifar10_gan import Cifar10GAN
from recipes.commands import parse
from recipes.commands.parser import resolved
from recipes.errors import CommandError, WorldError
from recipes.linear_regression import LinearRegression
from recipes.report.repeat import training_command
from recipes.run import Run, SavedRun, read_directory

CONFIGS = pathlib.Path(__file__).with_name("before")
ENVIRONMENT = {"starts": [{"versions": {"keras-descent": "0.1.0", "keras": "3.15.1"}}]}
BEFORE = {  # file: kind, class, some of its settings
    "cnn_basic": ("run", Cifar10CNN, {"variant": "basic", "label_smoothing": 0.1, "test_time_augmentation": "flip"}),
    "fast": ("run", Cifar10Fast, {"variant": "fast", "translate": 2, "weight_decay": 0.05, "activation": "relu"}),
    "full": ("run", Cifar10FullBatch, {"width": 8, "block_size": 32, "gradient_regularizer": 0.5}),
    "full_group": ("run", Cifar10FullBatch, {"normalization": "group", "remainder": "smaller", "batch_size": 64}),
    "gan_cgan_pd": ("run", Cifar10GAN, {"variant": "cgan_pd", "judge_every": 2, "half_life": 5000.0}),
    "line_mini": ("run", LinearRegression, {"batch_size": 10, "schedule": "inverse_time:0.02"}),
    "seeds": ("seeds", LinearRegression, {"epochs": 5, "seed": 0}),
    "search": ("search", LinearRegression, {"epochs": 2, "learning_rate": 0.7}),
    "trial": ("trial", LinearRegression, {"epochs": 2, "learning_rate": 0.8982}),
    "comparison": ("comparison", LinearRegression, {"epochs": 300}),
}


def written(directory, name, **changed):
    """A directory as version 0.1 has left it, and its config."""
    config = json.loads((CONFIGS / f"{name}.json").read_text()) | changed
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "environment.json").write_text(json.dumps(ENVIRONMENT))
    return config


NEW = {"passes_per_epoch": 1, "line_search": None, "skip_broken": False, "weights": None}  # settings since then


@pytest.mark.parametrize("name", BEFORE)
def test_a_directory_is_read_with_its_recipe_and_its_settings(tmp_path, name):
    kind, cls, some = BEFORE[name]
    config = written(tmp_path, name)
    found = read_directory(tmp_path)
    assert (found.kind, type(found.recipe), found.starts) == (kind, cls, ENVIRONMENT["starts"])
    assert {key: getattr(found.recipe, key) for key in some} == some
    for key, value in dataclasses.asdict(found.recipe).items():
        assert value == {**NEW, **config}[key]
    for key in ("backend", "strategy", "dtype", "trained_on", "seeds", "trials", "contenders", "space"):
        assert found.config.get(key) == config.get(key)
    assert not found.is_done
    size = {key: config[key] for key in ("epochs", "seeds", "trials") if key in config}
    (tmp_path / "result.json").write_text(json.dumps({"of": size}))
    assert read_directory(tmp_path).is_done


@pytest.mark.parametrize("name", BEFORE)
def test_nothing_is_trained_in_it_and_the_line_names_the_version(tmp_path, name):
    written(tmp_path, name)
    found = read_directory(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for kind in ("run", found.kind):
        with pytest.raises(WorldError) as caught:
            Run(found.recipe, tmp_path, kind=kind)
        assert str(caught.value) == (
            f"{tmp_path} was written by keras-descent 0.1.0, whose runs this version reads and does not train on; "
            "give another --run-dir"
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("starts", [None, [], [{}], [{"versions": None}], 3, "{"])
def test_one_that_does_not_say_its_version_is_refused_too(tmp_path, starts):
    written(tmp_path, "line_mini")
    text = starts if isinstance(starts, str) else json.dumps({"starts": starts})
    (tmp_path / "environment.json").write_text(text)
    with pytest.raises(WorldError) as caught:
        Run(LinearRegression(), tmp_path)
    assert "was written by an older version, whose runs this version reads" in str(caught.value)


def test_a_checkout_that_was_not_installed_was_of_0_1_too(tmp_path):
    written(tmp_path, "line_mini")
    (tmp_path / "environment.json").write_text(json.dumps({"starts": [{"versions": {"keras-descent": None}}]}))
    with pytest.raises(WorldError, match=r"written by keras-descent 0\.1\.0, whose"):
        Run(LinearRegression(), tmp_path)


def test_by_default_a_run_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "runs" / "linear_regression" / "20250101-000000"
    place.parent.mkdir(parents=True)
    config = written(place, "line_mini")
    recipe = read_directory(place).recipe
    extra = {name: config[name] for name in ("backend", "strategy", "dtype")}
    assert Run(recipe, extra=extra).directory.name != place.name


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("cnn_basic", {"gradient_regularizer_method": "hessian"}),
        ("cnn_basic", {"remainder": "smaller"}),
        ("cnn_basic", {"activation": "silu", "width": 8, "normalization": "group"}),
        ("fast", {"width": 8, "normalization": "group"}),
        ("cnn_basic", {"optimizer": "adam", "momentum": None, "weight_decay": None, "weight_decay_mode": "coupled"}),
        ("cnn_basic", {"weight_decay": None, "exclude_from_weight_decay": "bias"}),
        ("gan_cgan_pd", {"penalty": "none", "penalty_weight": 0.1}),
    ],
)
def test_settings_that_had_no_effect_are_left_out(tmp_path, name, changed):
    written(tmp_path, name, **changed)
    found = read_directory(tmp_path)
    assert found.recipe.epochs == found.config["epochs"]


WITH_EFFECT = [  # file, settings of a variant that is a recipe of its own now
    ("fast", {"block_size": 50, "batch_size": 100}),
    ("fast", {"block_size": 50, "batch_size": 100, "gradient_regularizer": 0.5}),
    ("fast", {"gradient_regularizer": 0.5, "gradient_regularizer_method": "hessian"}),
    ("fast", {"variant": "resnet9", "sharpness_aware": 0.05, "activation": "silu"}),
    (
        "fast",
        {
            **{"gradient_accumulation_steps": "epoch", "flip": "none", "translate": 0},
            **{"block_size": 50, "batch_size": 100, "remainder": "smaller"},
        },
    ),
    ("full", {"gradient_accumulation_steps": "1", "flip": "random", "translate": 4, "cutout": 8}),
    ("full_group", {"gradient_accumulation_steps": "1", "remainder": "drop", "flip": "alternating"}),
    ("cnn_basic", {"weight_decay_mode": "coupled", "exclude_from_weight_decay": "bias"}),
    ("cnn_basic", {"optimizer": "adamw", "momentum": None, "weight_decay": None, "exclude_from_weight_decay": "b"}),
]


@pytest.mark.parametrize(("name", "changed"), [*WITH_EFFECT, *((name, {}) for name in BEFORE)])
def test_settings_with_an_effect_are_kept_and_the_printed_command_has_them(tmp_path, name, changed):
    written(tmp_path, name, **changed)
    found = read_directory(tmp_path)._replace(starts=[])
    assert {key: getattr(found.recipe, key) for key in changed} == changed
    assert resolved(parse(shlex.split(training_command(found))[3:])) == found.recipe


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": "3"}, "--epochs is '3'"),
        ({"variant": "huge"}, "no variant 'huge'"),
        ({"learning_rate": None}, "--learning-rate is none"),
    ],
)
def test_a_damaged_one_is_one_line(tmp_path, changed, said):
    written(tmp_path, "cnn_basic", **changed)
    with pytest.raises(WorldError) as caught:
        read_directory(tmp_path)
    assert "config.json is damaged, or of another version" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_of_it_is_used_as_before(tmp_path):
    config = written(tmp_path, "cnn_basic")
    (tmp_path / "result.json").write_text(json.dumps({"outcome": "finished", "of": {"epochs": config["epochs"]}}))
    (tmp_path / "model.keras").write_bytes(b"a model")
    saved = SavedRun(tmp_path, "predict")
    assert (type(saved.recipe), saved.data["classes"]) == (Cifar10CNN, config["trained_on"]["classes"])
    shutil.copy(CONFIGS / "trial.json", tmp_path / "config.json")
    with pytest.raises(CommandError, match="holds a trial of a search"):
        SavedRun(tmp_path, "evaluate")
