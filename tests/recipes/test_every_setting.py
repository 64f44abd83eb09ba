"""Every setting of every recipe does what it says: another value of it changes what its `changes` names.

A setting that is accepted and ignored is a lie. Each case trains a recipe twice for two epochs on few images, with two
values of one setting, and looks at the artefact that the setting says it changes.
"""

import dataclasses
import functools

import keras
import numpy as np
import pytest
from PIL import Image

from recipes import find as recipes
from recipes import training
from recipes.classification import Classification
from recipes.errors import CommandError, WorldError
from recipes.physics import Equation
from recipes.run.run import Run
from recipes.settings.fields import CHANGES

SMALL = {"batch_size": 10, "epochs": 2}
IMAGES = {**SMALL, "train_images": 20}
MINI = {"optimizer": "sgd", "clipping": "none"}
POINTS = {**SMALL, "points": 20, "passes_per_epoch": 1, "optimizer": "batch_gd"}
LEAPING = {"learning_rate": 300.0, "schedule": "constant", "clipping": "none", "epochs": 5}  # worse at each update
SLOWER = {"learning_rate": 3.0, "clipping": "by_global_norm:0.25"}  # beside a penalty on the gradient
BASES = {
    "cifar10_cnn": IMAGES,
    "cifar10_fast": {**IMAGES, "optimizer": "sgd"},
    "cifar10_full_batch": {**IMAGES, "width": 8, "block_size": 10, "schedule": "constant"},
    "cifar10_gan": {**IMAGES, "width": 8, "discriminator_width": 8, "latent_size": 8},
    "linear_regression": {**SMALL, "batch_size": 50},
}
OTHERS = {  # another value, and the settings that both runs have besides those of BASES
    "batch_size": (20, {}),
    "points": (30, {}),
    "depth": (2, {}),
    "epochs": (3, {}),
    "passes_per_epoch": (2, {"batch_size": 100}),
    "seed": (1, {}),
    "data": ("folder", {}),
    "skip_broken": (True, {"data": "broken folder"}),
    "weights": ("trained", {}),
    "variant": (None, {}),
    "optimizer": ("nesterov", {}),
    "line_search": ("armijo", {"optimizer": "batch_gd"}),
    "gradient_accumulation_steps": ("2", {"optimizer": "sgd"}),
    "learning_rate": (0.05, {}),
    "schedule": ("linear", {}),
    "momentum": (0.5, {"optimizer": "momentum"}),
    "clipping": ("by_global_norm:0.001", {}),
    "weight_decay": (0.1, {"weight_decay_mode": "decoupled"}),
    "weight_decay_mode": ("coupled", {"weight_decay": 0.1, "weight_decay_mode": "decoupled"}),
    "exclude_from_weight_decay": ("kernel", {"weight_decay": 0.1}),
    "learning_rate_multipliers": ("kernel=2", {}),
    "ema_momentum": (0.9, {}),
    "loss": ("mse", {}),
    "label_smoothing": (0.2, {}),
    "train_images": (10, {}),
    "validation_split": (0.3, {}),
    "early_stopping": (1, {**LEAPING, "validation_split": 0.1}),
    "keep": ("best", {**LEAPING, "validation_split": 0.1}),
    "test_time_augmentation": ("flip", {}),
    "flip": ("random", MINI),
    "translate": (4, MINI),
    "cutout": (8, MINI),
    "block_size": (5, {"block_size": 10}),
    "remainder": ("smaller", {"block_size": 7, "batch_size": 7}),
    "gradient_regularizer": (0.9, {}),
    "gradient_regularizer_method": ("hessian", {"gradient_regularizer": 0.5}),
    "sharpness_aware": (0.1, {"gradient_regularizer": 0.0}),
    "l1": (0.01, {}),
    "l2": (0.01, {}),
    "width": (16, {}),
    "normalization": ("group", {}),
    "activation": ("gelu", {}),
    "penalty": ("r1", {}),
    "penalty_weight": (3.0, {"penalty": "r1"}),
    "penalty_every": (2, {"penalty": "r1"}),
    "augment": ("color", {}),
    "discriminator_width": (16, {}),
    "latent_size": (4, {}),
    "generator_optimizer": ("sgd", {}),
    "discriminator_optimizer": ("sgd", {}),
    "generator_learning_rate": (0.1, {}),
    "discriminator_learning_rate": (0.1, {}),
    "discriminator_steps": (2, {}),
    "turns": ("simultaneous", {}),
    "half_life": (0.0, {}),
    "judge_every": (1, {}),
}
OF_RECIPE = {  # where a recipe needs other ones
    ("cifar10_cnn", "variant"): ("basic", {}),
    ("cifar10_fast", "variant"): ("resnet9", {}),
    ("cifar10_fast", "remainder"): ("smaller", {"optimizer": "batch_gd", "block_size": 7, "batch_size": 7}),
    ("cifar10_fast", "passes_per_epoch"): (2, {"optimizer": "batch_gd", "batch_size": 100}),
    ("cifar10_gan", "variant"): ("dcgan", {}),
    ("cifar10_gan", "loss"): ("wasserstein", {}),
    ("cifar10_gan", "flip"): ("random", {}),
    ("cifar10_gan", "schedule"): ("linear", {}),
    ("cifar10_gan", "keep"): ("last", {"epochs": 3, "judge_every": 1, "generator_learning_rate": 3.0}),
    ("linear_regression", "loss"): ("mae", {}),
    ("linear_regression", "line_search"): ("armijo", {"batch_size": 100}),
    ("cifar10_full_batch", "line_search"): (
        "armijo",
        {"optimizer": "batch_gd", "normalization": "group", "block_size": None, "gradient_regularizer": 0.0},
    ),
    ("cifar10_full_batch", "optimizer"): ("momentum", {}),
    ("cifar10_full_batch", "early_stopping"): (1, {**LEAPING, **SLOWER, "validation_split": 0.1}),
    ("cifar10_full_batch", "keep"): ("best", {**LEAPING, **SLOWER, "validation_split": 0.1}),
    ("cifar10_full_batch", "block_size"): (5, {}),
    ("cifar10_full_batch", "validation_split"): (0.1, {}),
    ("cifar10_full_batch", "gradient_accumulation_steps"): ("2", {}),
}
OF_EQUATIONS = {"activation": ("sin", {}), "batch_size": (5, {"optimizer": "adam"})}
REFUSED = {  # what a recipe has in common with others, and none of its networks can be trained with; and why
    ("cifar10_fast", "line_search"): "normalises each micro-batch by its own statistics",
}
FIRST = "cifar10_cnn"  # what it shares with other classifiers is tried there each time, and with the others where slow

LONG = ("cifar10_cnn.keep", "cifar10_fast.activation", "cifar10_fast.variant")  # several seconds each, as those of GANs
LONG += tuple(f"cifar10_full_batch.{each}" for each in ("activation", "normalization", "width"))
LONG += tuple(f"cifar10_cnn.{each}" for each in ("early_stopping", "gradient_regularizer_method", "sharpness_aware"))
LONG += tuple(f"cifar10_cnn.{each}" for each in ("block_size", "ema_momentum", "epochs", "gradient_regularizer"))
LONG += tuple(f"cifar10_cnn.{each}" for each in ("learning_rate", "line_search", "momentum"))  # which others try, too
LONG += tuple(f"cifar10_cnn.{each}" for each in ("gradient_accumulation_steps", "schedule", "l1", "l2", "weight_decay"))
LONG += tuple(f"cifar10_cnn.{each}" for each in ("exclude_from_weight_decay", "learning_rate_multipliers"))
LONG += tuple(f"cifar10_cnn.{each}" for each in ("label_smoothing", "passes_per_epoch", "test_time_augmentation"))
LONG += ("cifar10_cnn.seed", "cifar10_cnn.weight_decay_mode")
QUICK = ("batch_size",)  # of the settings of GANs, what is tried each time


def cases():
    for name in recipes.names():
        is_another = name != FIRST and issubclass(recipes.find(name), Classification)
        shared = recipes.find(FIRST).settings() if is_another else {}
        for setting in (each for each in recipes.find(name).settings() if (name, each) not in REFUSED):
            is_slow = (setting in shared and setting != "variant") or f"{name}.{setting}" in LONG
            is_slow = is_slow or (name == "cifar10_gan" and setting not in QUICK)
            is_slow = is_slow or (issubclass(recipes.find(name), Equation) and name != "burgers")
            yield pytest.param(name, setting, id=f"{name}.{setting}", marks=[pytest.mark.slow] if is_slow else [])


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """The classifier of GANs need not be good here."""
    monkeypatch.setattr("recipes.gan.classifier.UPDATES", 4)
    monkeypatch.setattr("recipes.gan.classifier.FEWEST", 1)


@functools.cache
def folder_of_images(directory):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 4)):
        for label in "ab":
            place = directory / part / label
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), "uint8")).save(place / f"{number}.png")
    return f"folder:{directory}"


@functools.cache
def folder_with_a_broken_image(directory):
    name = folder_of_images(directory)
    (directory / "train" / "a" / "0.png").write_text("text")
    return name


def model_file(cls, directory):
    """The file of a model of a recipe that is not the one with its settings of `_base`."""
    recipe = cls(**{**_base(cls), "seed": 9})
    recipe.model(recipe.load()).save(directory / "trained.keras")
    return str(directory / "trained.keras")


FILES = {  # what stands for a path in OTHERS
    "folder": lambda cls, base: folder_of_images(base / "images"),
    "broken folder": lambda cls, base: folder_with_a_broken_image(base / "broken"),
    "trained": model_file,
}


@pytest.mark.filterwarnings("ignore:FullBatch. the layer '.*batch_norm")
@pytest.mark.parametrize(("name", "setting"), list(cases()))
def test_another_value_changes_what_it_says(name, setting, tmp_path_factory):
    cls = recipes.find(name)
    of_kind = OF_EQUATIONS.get(setting) if issubclass(cls, Equation) else None
    value, others = of_kind or OF_RECIPE.get((name, setting)) or OTHERS.get(setting) or _not_listed(name, setting)
    base = tmp_path_factory.getbasetemp()
    value, *more = (FILES[each](cls, base) if each in FILES else each for each in (value, *others.values()))
    one = cls(**{**_base(cls), **dict(zip(others, more, strict=True))})
    other = dataclasses.replace(one, **{setting: value})
    assert getattr(one, setting) != getattr(other, setting)
    category, places = cls.settings()[setting].changes, tmp_path_factory.mktemp
    assert not _same(_artefact(one, category, places), _artefact(other, category, places))


@pytest.mark.parametrize(("name", "setting"), REFUSED)
def test_what_no_network_of_a_recipe_can_be_trained_with_is_refused_before_training(name, setting):
    cls = recipes.find(name)
    value, others = OTHERS[setting]
    for variant in cls.variants:
        one = cls(**{**_base(cls), **others, "variant": variant, setting: value})
        with pytest.raises(CommandError, match=REFUSED[name, setting]):
            training.contract.model(one, one.load())


def _not_listed(name, setting):
    pytest.fail(
        f"{name} has the setting `{setting}`: give it another value in OTHERS of tests/recipes/test_every_setting.py, "
        f"or in OF_RECIPE under ({name!r}, {setting!r})",
        pytrace=False,
    )


def _base(cls):
    """A recipe that is not in BASES trains with what is small for its kind."""
    if issubclass(cls, Equation):
        return POINTS
    return BASES.get(cls.name()) or (IMAGES if "train_images" in cls.settings() else SMALL)


def test_every_category_is_looked_at():
    assert ARTEFACTS.keys() == CHANGES.keys()


@functools.cache
def _artefact(recipe, category, places):
    """What a setting of a category may change; most cases begin from the same recipe."""
    return ARTEFACTS[category](recipe, places("run") / "run")


def _trained(recipe, directory):
    """A model, trained step by step, since compiling takes longer; its data and its run."""
    keras.utils.clear_session()
    data = recipe.load()
    run = Run(recipe, directory)
    run.begin(data.about())
    model = training.contract.model(recipe, data)
    model.run_eagerly = True
    model, _ = training.fit(recipe, run, data, model, verbose=0)
    return model, data, run


def _weights(recipe, directory):
    model, _, run = _trained(recipe, directory)
    return [np.asarray(weight) for weight in model.get_weights()] + [np.array(run.epochs_done())]


def _rates(recipe, directory):
    _, _, run = _trained(recipe, directory)
    return [np.array([row["learning_rate"] for row in run.history()])]


def _data(recipe, directory):
    """What the parts hold, and what the batches of the first epoch do; nothing if the data cannot be read."""
    found = []
    try:
        data = recipe.load()
    except WorldError:
        return found
    for part in ("validation", "test"):
        found += [np.asarray(each) for each in getattr(data, part, ())]
    for batch in recipe.batches(data):
        found += [np.asarray(each) for each in batch]
        if len(found) > 40:
            break
    return found


def _judged(recipe, directory):
    model, data, run = _trained(recipe, directory)
    model = recipe.trained(model, run)
    figures = recipe.judge(model, data, run)
    return [np.array(sorted(figures)), *(np.asarray(weight) for weight in model.get_weights())]


def _files(recipe, directory):
    _trained(recipe, directory)
    return [np.array(sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if "events" not in p.name))]


ARTEFACTS = {"update": _weights, "schedule": _rates, "data": _data, "judgement": _judged, "files": _files}


def _same(one, other):
    return len(one) == len(other) and all(
        a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )
