"""What a command line and a config.json make of a recipe's presets and settings."""

import dataclasses

import numpy as np
import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.errors import CommandError
from recipes.find import find, names
from recipes.settings.presets import OtherSettings, changed, recorded, resolve, ways_to
from tests.recipes.idle import Idle


@pytest.mark.parametrize(
    ("given", "preset", "expected"),
    [
        ({}, None, ("plain", "batch_gd", 0.1, None, 3)),
        ({"variant": "fast"}, None, ("fast", "nesterov", 0.5, 0.6, 20)),
        ({}, "fast", ("fast", "nesterov", 0.5, 0.6, 20)),  # a preset brings its variant
        ({"variant": "plain"}, "fast", ("plain", "nesterov", 0.5, 0.6, 20)),  # but not over one that is given
        ({"variant": "fast"}, "slow", ("fast", "batch_gd", 0.1, None, 3)),
        ({"variant": "fast"}, "smoke", ("fast", "nesterov", 0.5, 0.6, 2)),  # is laid over that of the variant
        ({"variant": "fast"}, "long", ("fast", "nesterov", 0.5, 0.6, 100)),
        ({"variant": "fast"}, "careful", ("fast", "batch_gd", 0.01, None, 3)),  # stands in its place
        ({"epochs": 7}, "smoke", ("plain", "batch_gd", 0.1, None, 7)),  # what is given is over all
        ({"variant": "fast", "optimizer": "sgd"}, None, ("fast", "sgd", 0.5, None, 20)),  # without what is nesterov's
        ({"variant": "fast", "optimizer": "sgd", "momentum": 0.3}, "smoke", ("fast", "sgd", 0.5, 0.3, 2)),
        ({"variant": "fast", "optimizer": "nesterov"}, None, ("fast", "nesterov", 0.5, 0.6, 20)),
    ],
)
def test_what_is_given_goes_over_a_preset_and_that_over_the_defaults(given, preset, expected):
    found = resolve(Idle, given, preset)
    assert (found.variant, found.optimizer, found.learning_rate, found.momentum, found.epochs) == expected
    assert Idle.from_preset(preset, **given) == found


@pytest.mark.parametrize(
    ("given", "preset", "said"),
    [
        ({}, "smok", "--preset: no preset 'smok'; did you mean smoke"),
        ({"variant": "fats"}, None, "--variant: no variant 'fats'; did you mean fast"),
        ({"epochs": 0}, "smoke", "--epochs must be a whole number >= 1; it is 0"),
        ({"epoch": 3}, None, "no setting 'epoch'; did you mean epochs?"),
        ({"optimizer": "sgd", "learning-rate": 3}, "smoke", "no setting 'learning-rate'; did you mean learning_rate?"),
        (
            {"dropout": 3},
            "fast",
            "no setting 'dropout'; there are: batch_size, early_stopping, epochs, learning_rate, momentum, optimizer, "
            "seed, variant",
        ),
    ],
)
def test_what_is_not_there(given, preset, said):
    for make in (lambda: resolve(Idle, given, preset), lambda: Idle.from_preset(preset, **given)):
        with pytest.raises(CommandError) as caught:
            make()
        assert str(caught.value).startswith(said)


@pytest.mark.parametrize("preset", ["smoke", "careful", "slow"])  # laid over, in place of the variant's, the variant's
def test_a_preset_has_no_other_names_than_settings(preset):
    with pytest.raises(TypeError) as caught:

        class Wrong(Idle):
            """A recipe with a mistake in a preset."""

            presets = {**Idle.presets, preset: {"optimiser": "sgd"}}

    assert str(caught.value).startswith("Wrong, ")
    assert str(caught.value).endswith(": no setting 'optimiser'; did you mean optimizer?")


def test_a_preset_brings_its_variant_and_another_optimizer_leaves_its_own_settings():
    assert resolve(Cifar10Fast, {}, "resnet9").variant == "resnet9"
    assert resolve(Cifar10CNN, {"variant": "basic"}, "full_batch").variant == "basic"
    adam = resolve(Cifar10Fast, {"optimizer": "adam"})
    assert (adam.momentum, adam.learning_rate_multipliers, adam.label_smoothing) == (None, "", 0.2)
    assert resolve(Cifar10Fast, {"optimizer": "sgd", "momentum": 0.5}).momentum == 0.5


CASES = [
    (name, {"variant": variant} if variant else {}, preset)
    for name in names()
    for variant in find(name).variants or [None]
    for preset in (None, *find(name).presets)
]


@pytest.mark.parametrize(("name", "given", "preset"), CASES, ids=str)
def test_every_way_to_write_settings_leads_to_them(name, given, preset):
    cls = find(name)
    recipe = resolve(cls, given, preset)
    *ways, (last, _) = ways_to(recipe)
    assert last is None  # all settings, where no preset goes with the optimizer
    assert ways
    for chosen, rest in ways:
        assert resolve(cls, {**given, **rest}, chosen) == recipe


@pytest.mark.parametrize("seed", range(5))
def test_so_do_ways_to_write_settings_that_no_preset_has(seed):
    rng = np.random.default_rng(seed)
    given = {"variant": str(rng.choice(["plain", "fast"])), "optimizer": str(rng.choice(["sgd", "nesterov", "adam"]))}
    given |= {"learning_rate": float(rng.random()), "epochs": int(rng.integers(1, 100))}
    recipe = resolve(Idle, given, str(rng.choice(list(Idle.presets))))
    *ways, _ = ways_to(recipe)
    assert ways
    for preset, rest in ways:
        assert resolve(Idle, {"variant": recipe.variant, **rest}, preset) == recipe


@pytest.mark.parametrize("name", names())
def test_a_config_gives_the_recipe_again(name):
    cls = find(name)
    for preset in (None, *cls.presets):
        recipe = resolve(cls, {}, preset)
        assert recorded(cls, dataclasses.asdict(recipe)) == recipe


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": None}, "--epochs is none"),
        ({"epochs": "3"}, "--epochs is '3'"),
        ({"epochs": 3.0}, "--epochs is 3.0"),
        ({"epochs": True}, "--epochs is yes"),
        ({"epochs": 0}, "--epochs must be a whole number >= 1; it is 0"),
        ({"learning_rate": "0.1"}, "--learning-rate is '0.1'"),
        ({"learning_rate": float("nan")}, "--learning-rate must be a number > 0; it is nan"),
        ({"optimizer": "adm"}, "did you mean adam"),
        ({"variant": ["plain"]}, r"--variant is \['plain'\]"),
        ({"strange": 1}, "^when tests.recipes.idle:Idle had the setting --strange, which it has no longer$"),
    ],
)
def test_a_config_that_holds_something_else(changed, said):
    with pytest.raises(ValueError, match=said):
        recorded(Idle, dataclasses.asdict(Idle()) | changed)


def test_a_config_may_have_a_whole_number_where_a_float_is():
    assert recorded(Idle, dataclasses.asdict(Idle()) | {"learning_rate": 1}).learning_rate == 1.0


def test_a_config_of_a_recipe_that_had_other_settings_is_told_apart_from_a_damaged_one():
    values = dataclasses.asdict(Idle())
    del values["early_stopping"]
    with pytest.raises(OtherSettings, match=r"^before tests\.recipes\.idle:Idle had the setting --early-stopping$"):
        recorded(Idle, values)
    with pytest.raises(ValueError, match=r"^it has no settings of tests\.recipes\.idle:Idle$") as caught:
        recorded(Idle, {"strange": 1})
    assert not isinstance(caught.value, OtherSettings)


@pytest.mark.parametrize(
    ("given", "preset", "expected"),
    [
        ({}, None, {}),
        ({"variant": "fast"}, None, {}),  # what the variant's own preset gives is as usual
        ({"epochs": 7}, None, {"epochs": 7}),
        ({"variant": "fast", "epochs": 20}, None, {}),  # given, and the same
        ({"variant": "fast"}, "smoke", {"epochs": 2}),
        ({"variant": "fast", "optimizer": "sgd"}, None, {"optimizer": "sgd", "momentum": None}),
    ],
)
def test_what_was_changed_is_what_the_variant_has_not_by_itself(given, preset, expected):
    assert changed(resolve(Idle, given, preset)) == expected
