"""What a class of a recipe has to be, how recipes are found, and how their settings are written."""

import abc
import copy
import dataclasses
import importlib
import pickle
import shlex
import sys
import types

import pytest

from recipes import find as find_module
from recipes.cifar10_cnn import Cifar10CNN
from recipes.classification import Classification
from recipes.commands import compare, train, tune
from recipes.commands.command_line import parse
from recipes.commands.parser import Parser, resolved
from recipes.errors import CommandError
from recipes.find import find, names
from recipes.recipe import TAKEN, Recipe
from recipes.settings import choice, number, whole
from tests.recipes.idle import Idle

METHODS = [name for name in vars(Recipe) if getattr(vars(Recipe)[name], "__isabstractmethod__", False)]


def made(bases=(Idle,), name="Made", **body):
    """A class of a recipe with something in its body; what is None is left out of a recipe that has all."""
    return types.new_class(name, bases, exec_body=lambda space: space.update({"__doc__": "A recipe.", **body}))


def test_methods_that_a_recipe_must_have():
    assert METHODS == ["load", "model", "batches", "judge", "summary"]


@pytest.mark.parametrize("missing", METHODS)
def test_a_method_that_is_missing_is_named_when_the_class_is_made(missing):
    own = {name: vars(Idle)[name] for name in METHODS if name != missing}
    with pytest.raises(TypeError, match=f"Made has no method `{missing}`: .+"):
        made((Recipe,), score="score", **own)
    assert made((Recipe,), score="score", **own, **{missing: vars(Idle)[missing]}).name().endswith(":Made")


def test_a_base_need_not_have_them_and_what_it_asks_for_is_asked_of_its_recipes():
    class Base(Idle, is_base=True):
        @abc.abstractmethod
        def network(self, data):
            """From images to logits."""

    with pytest.raises(TypeError, match="Made has no method `network`: From images to logits"):
        made((Base,))
    assert made((Base,), network=lambda self, data: None)().epochs == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"__doc__": None}, "has no docstring"),
        ({"__doc__": ""}, "has no docstring"),
        ({"presets": {"slow": {}, "fast": {}}}, "has no preset `smoke`"),
        ({"objectives": {"val_loss": "min"}}, "has `objectives`, and no method `validate`"),
        ({"presets": {**Idle.presets, "smoke": {"epoch": 3}}}, "preset smoke: no setting 'epoch'; did you mean epochs"),
        (
            {"presets": {**Idle.presets, "careful": {"epochs": 0}}},
            "preset careful: --epochs must be a whole number >= 1",
        ),
        (
            {"presets": {**Idle.presets, "fast": {"optimizer": "adm"}}},
            "preset fast: --optimizer adm: .*did you mean adam",
        ),
        ({"learning_rat": 3}, "no setting 'learning_rat'; did you mean learning_rate"),
        ({"objectives": ("val_loss",), "validate": lambda self, model, data: {}}, "has `objectives` that are no dict"),
        ({"objectives": {"val_loss": "low"}, "validate": lambda self, model, data: {}}, "has `objectives` that are no"),
        ({"dtypes": "float32"}, "has `dtypes` that are not a tuple of float64, float32"),
        ({"commands": "evaluate"}, "has `commands` that are not a tuple of evaluate, predict"),
        ({"load": lambda self: None}, r"load is called with \(self, data_dir, download\): too many positional"),
        ({"judge": lambda self, model: {}}, r"judge is called with \(self, model, data, run\): too many positional"),
        ({"summary": lambda self, result, more: ""}, r"summary is called with \(self, result\): missing a required"),
        ({"epochs": 0}, "defaults: --epochs must be a whole number >= 1; it is 0"),
        ({"epochs": "many"}, "defaults: --epochs must be a whole number >= 1; it is many"),
        ({"epochs": None}, "defaults: --epochs must be"),
        ({"learning_rate": number(0.0, "step", above=0)}, "defaults: --learning-rate must be a number > 0; it is 0.0"),
        ({"width": whole(8, most=4)}, "defaults: --width must be a whole number from 1 to 4; it is 8"),
        ({"variants": {"plain": "slow", "fast": "quick"}}, "has no preset `quick`, which a variant names"),
        ({"variants": {"plain": "slow", "odd": "fast"}}, "preset fast: --variant: no variant 'odd'"),
        ({"judge": whole(3, "a setting named as a method")}, "`judge` is what every recipe or command has already"),
        ({"presets": choice("a", names=("a", "b"))}, "`presets` is what every recipe or command has already"),
        ({"strategy": choice("a", names=("a", "b"))}, "`strategy` is what every recipe or command has already"),
        ({"kind": choice("a", names=("a", "b"))}, "`kind` is what every recipe or command has already"),
        ({"__annotations__": {"width": int}, "width": 3}, "make the setting `width` by `recipes.settings.number`"),
        ({"__annotations__": {"width": int}}, "make the setting `width` by `recipes.settings.number`"),
    ],
)
def test_what_is_wrong_with_a_class_is_said_when_it_is_made(body, said):
    with pytest.raises(TypeError, match=f"Made.*{said}"):
        made(**body)


def test_a_recipe_says_what_seeds_are_averaged_by():
    with pytest.raises(TypeError, match="does not say its `score`"):
        made((Recipe,), **{name: vars(Idle)[name] for name in METHODS})


def test_variants_need_a_setting():
    own = {name: vars(Idle)[name] for name in METHODS}
    with pytest.raises(TypeError, match="has `variants`, and no setting `variant`"):
        made((Recipe,), score="score", variants={"a": "smoke"}, **own)


def test_a_preset_that_is_laid_over_goes_with_each_variant():
    def check(self):
        if self.variant == "fast" and self.epochs == 2:
            raise CommandError("too few epochs")

    with pytest.raises(TypeError, match="preset smoke with variant fast: too few epochs"):
        made(check=check)


def test_settings_are_fields_and_another_default_is_written_as_one():
    class Longer(Idle):
        """A recipe."""

        epochs = 20
        width: int = whole(256, "units", most=512)

    assert list(Longer.settings()) == [*Idle.settings(), "width"]
    assert (Longer().epochs, Idle().epochs, Recipe.settings()["epochs"].default) == (20, 3, 10)
    assert Longer.settings()["epochs"].help == Idle.settings()["epochs"].help
    assert Longer(epochs="30", width=8) == Longer(epochs=30, width=8)
    assert dataclasses.replace(Longer(), width=8).width == 8
    with pytest.raises(CommandError, match="--width must be a whole number from 1 to 512; it is 513"):
        Longer(width=513)
    with pytest.raises(CommandError, match="--epochs must be"):
        dataclasses.replace(Longer(), epochs=0)
    for made_of in (Longer, lambda **given: dataclasses.replace(Longer(), **given), Longer.from_preset):
        with pytest.raises(CommandError, match="no setting 'epoch'; did you mean epochs"):
            made_of(epoch=3)
    assert copy.deepcopy(Longer(width=8)) == Longer(width=8)
    assert pickle.loads(pickle.dumps(Cifar10CNN(l2=0.5))) == Cifar10CNN(l2=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Longer().epochs = 3


def test_defaults_of_what_a_recipe_can_do():
    recipe = Idle()
    assert (recipe.steps, recipe.default_dtype, recipe.needs_float64) == (1, "float32", False)
    assert recipe.callbacks(None, None) == []
    assert recipe.trained("a model", None) == "a model"
    assert recipe.validation(None) is None
    data = types.SimpleNamespace(train_size=33)
    assert recipe.updates(data) == 3 * 2
    assert made(steps=2)().updates(data) == 3
    assert made(steps="epoch")().updates(data) == 3
    assert not recipe.horizon_matters  # it has no schedule
    assert made(dtypes=("float64",))().needs_float64


def test_no_setting_can_have_the_name_of_another_option():
    for command in (train, tune, compare):
        parser = Parser()
        command._add_options(parser, Cifar10CNN)
        others = {action.dest for action in parser._actions} - Cifar10CNN.settings().keys()
        assert others <= set(TAKEN)


@pytest.mark.parametrize("name", names())
def test_every_recipe_of_the_package_is_found_by_its_name(name):
    cls = find(name)
    assert cls.name() == name
    assert find(f"{cls.__module__}:{cls.__name__}") is cls


def test_the_recipes_of_the_package():
    """A file beside recipe.py is one by being there, and what recipes are made of is none."""
    assert {"cifar10_cnn", "cifar10_gan", "linear_regression"} <= set(names())
    assert not {"__init__", "__main__", "errors", "recipe", "classification", "settings"} & set(names())
    assert names() == sorted(names())


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a user's module, which can be imported then."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(name, text):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(text)

    yield written
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


OWN = '''from tests.recipes.idle import Idle

class Mine(Idle):
    """Mine."""
    epochs = 7

THREE = 3
'''


def test_a_recipe_of_a_user(module):
    module("my_recipes", OWN)
    cls = find("my_recipes:Mine")
    assert (cls.name(), cls().epochs) == ("my_recipes:Mine", 7)
    assert cls(epochs=8).command() == "python -m recipes train my_recipes:Mine --variant plain --epochs 8"


ANNOTATED = '''from __future__ import annotations
import typing
from recipes.settings import whole
from tests.recipes.idle import Idle

class Mine(Idle):
    """Mine."""
    width: int = whole(3)
    sizes: typing.ClassVar[tuple] = (1, 2)
'''


def test_annotations_may_be_texts(module):
    module("annotated", ANNOTATED)
    cls = find("annotated:Mine")
    assert (cls().width, cls.sizes, "sizes" in cls.settings()) == (3, (1, 2), False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_recipes:Other", "recipe my_recipes:Other: Other is not there"),
        ("my_recipes:THREE", "recipe my_recipes:THREE: THREE is no subclass of recipes.recipe.Recipe"),
        ("my_recipes:", "recipe my_recipes:: the name of its class is not there"),
        ("my_modules:Mine", "ModuleNotFoundError: No module named 'my_modules'"),
        (":Mine", "recipe :Mine: ValueError"),
        (".my_recipes:Mine", "recipe .my_recipes:Mine: TypeError"),
        ("breaks:Mine", "recipe breaks:Mine: ZeroDivisionError: division by zero"),
        ("ends:Mine", "recipe ends:Mine: SystemExit: 3"),
        ("twisted:Mine", "recipe twisted:Mine: SyntaxError"),
        ("lacks:Mine", "recipe lacks:Mine: TypeError: Mine has no method `batches`"),
        ("__main__:Mine", "Mine is not there; it was defined in a notebook or a script"),
        ("recipes.recipe:Recipe", "Recipe is no subclass of recipes.recipe.Recipe"),
        ("recipes.classification:Augmented", "Augmented is what recipes are made of, and has no method `network`"),
        ("cifar10_cn", "no recipe 'cifar10_cn'; did you mean cifar10_cnn"),
        ("mine", "; one of your own is written module:Class"),
        ("errors", "no recipe 'errors'"),
        ("recipe", "no recipe 'recipe'"),
        ("settings", "no recipe 'settings'"),
        ("", f"no recipe ''; there are: {', '.join(names())}"),
    ],
)
def test_what_is_no_recipe_is_told_in_one_line(module, name, said):
    module("my_recipes", OWN)
    module("breaks", "1 / 0")
    module("ends", "raise SystemExit(3)")
    module("twisted", "class Mine(")
    module("lacks", 'from recipes.recipe import Recipe\nclass Mine(Recipe):\n    """Mine."""\n')
    with pytest.raises(CommandError) as caught:
        find(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


CASES = [
    (name, {"variant": variant} if variant else {}, preset)
    for name in names()
    for variant in find(name).variants or [None]
    for preset in (None, *find(name).presets)
]


@pytest.mark.parametrize(("name", "given", "preset"), CASES, ids=str)
def test_a_command_trains_with_the_settings_it_was_written_of(name, given, preset):
    recipe = find(name).from_preset(preset, **given)
    python, flag, package, *words = shlex.split(recipe.command())
    assert (python, flag, package) == ("python", "-m", "recipes")
    assert resolved(parse(words)) == recipe


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 3, "seed": 7},
        {"optimizer": "sgd", "momentum": 0.5, "train_images": 40},
        {"optimizer": "muon:size=none,others=momentum", "exclude_from_weight_decay": "a b|'c'", "weight_decay": 0.1},
        {"data": "folder:/a path/with $signs", "schedule": "constant:until=0.5+cosine"},
        {"variant": "basic", "optimizer": "adam", "early_stopping": 3, "keep": "best"},
        {"variant": "basic", "learning_rate": 1e-30, "l2": 1e37},
    ],
)
def test_and_so_do_commands_of_settings_that_no_preset_has(given):
    recipe = Cifar10CNN.from_preset("smoke", **given)
    assert resolved(parse(shlex.split(recipe.command())[3:])) == recipe


@pytest.mark.parametrize("name", names())
def test_a_recipe_without_a_preset_has_a_command_too(name):
    recipe = find(name)()
    assert resolved(parse(shlex.split(recipe.command())[3:])) == recipe


def test_a_command_is_short():
    assert Cifar10CNN.from_preset().command() == "python -m recipes train cifar10_cnn --variant groupnorm"
    assert find("linear_regression")().command() == "python -m recipes train linear_regression"
    smoke = find("linear_regression").from_preset("smoke", seed=3)
    assert smoke.command() == "python -m recipes train linear_regression --preset smoke --seed 3"


def test_a_recipe_of_a_preset_is_what_the_command_line_makes():
    asked = parse(["train", "cifar10_cnn", "--variant", "basic", "--preset", "smoke", "--seed", "3"])
    assert Cifar10CNN.from_preset("smoke", variant="basic", seed=3) == resolved(asked)
    assert Cifar10CNN(variant="basic").optimizer == "batch_gd"  # the class alone knows no presets
    assert Cifar10CNN.from_preset(variant="basic").optimizer == "sgd"


def test_the_base_that_comes_first_gives_a_default():
    class Short(Cifar10CNN, is_base=True):
        epochs = 20

    class Wide(Cifar10CNN, is_base=True):
        width = whole(8, "channels")

    class Both(Wide, Short):
        """Both."""

    assert (Both().epochs, Both.epochs, Both().width) == (20, 20, 8)
    assert Both(epochs=3).epochs == 3


def test_settings_of_a_class_that_is_no_recipe_are_refused():
    class Plain:
        width = whole(64, "units")

    class Default:
        epochs = 20

    for base in (Plain, Default):
        with pytest.raises(TypeError, match=f"{base.__name__} has settings, so it has to be a Recipe"):
            type("Made", (base, Cifar10CNN), {"__doc__": "Made.", "__module__": __name__})


@pytest.mark.parametrize(("base", "method"), [(Recipe, "batches"), (Classification, "network")])
def test_what_recipes_are_made_of_is_no_recipe(base, method):
    with pytest.raises(TypeError, match=f"{base.__name__} is what recipes are made of, and has no method `{method}`"):
        base()


def test_a_module_of_the_package_that_breaks_is_named_beside_the_others(monkeypatch):
    def broken(name):
        if name == "recipes.cifar10_fast":
            raise ZeroDivisionError("division by zero")
        return importlib.import_module(name)

    monkeypatch.setattr(find_module, "importlib", types.SimpleNamespace(import_module=broken))
    classes, faults = find_module.importable()
    assert list(classes) == [name for name in names() if name != "cifar10_fast"]
    assert faults == ["cifar10_fast.py cannot be imported: ZeroDivisionError: division by zero"]


def test_the_recipe_of_a_module_is_its_last_whole_class(monkeypatch):
    module = types.ModuleType("recipes.made_up")
    module.__file__ = "made_up.py"
    with pytest.raises(CommandError, match=r"made_up.py is no recipe"):
        find_module._own(module)
    base = type("Base", (Classification,), {"__module__": module.__name__}, is_base=True)
    whole_one = type("Whole", (base, Cifar10CNN), {"__module__": module.__name__, "__doc__": "Whole."})
    vars(module).update(Base=base, Whole=whole_one)
    assert find_module._own(module) is whole_one
