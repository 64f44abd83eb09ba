"""Every example in a docstring runs and prints what it says; every public class and function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import callbacks
import custom_optimizers
import custom_optimizers.schedules
import recipes.layers

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PACKAGES = (custom_optimizers, callbacks, recipes)
MODULES = [m.name for p in PACKAGES for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
PUBLIC = [
    *(getattr(custom_optimizers, name) for name in custom_optimizers.__all__),
    *(getattr(callbacks, name) for name in callbacks.__all__),
    *(getattr(custom_optimizers.clipping, name) for name in custom_optimizers.clipping.__all__),
    *(getattr(custom_optimizers.schedules, name) for name in custom_optimizers.schedules.__all__),
    *(getattr(importlib.import_module("recipes.data"), name) for name in ("Augmentation", "full_batches")),
    *(getattr(recipes.layers, name) for name in recipes.layers.__all__),
]
BASES = {"Descent", "Clipper", "ByFactor", "Schedule"}  # to inherit from, not to use


@pytest.mark.slow_cases(
    *("callbacks.learning_rate_finder", "custom_optimizers.accelerated_gd", "recipes.tuning.tuner"),
    *("custom_optimizers.nonlinear_cg", "custom_optimizers.self_scaled_broyden"),  # as custom_optimizers.bfgs
)
@pytest.mark.parametrize("name", [m for m in MODULES if not m.rpartition(".")[2].startswith(("_jax", "_torch"))])
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_what_is_public_is_documented(thing):
    text = inspect.getdoc(thing)
    made_by = getattr(thing.__init__, "__module__", "") if inspect.isclass(thing) else ""
    is_of_keras = made_by.startswith("keras.")  # which documents them
    arguments = set() if is_of_keras else set(inspect.signature(thing).parameters) - {"args", "kwargs"}
    assert "Example:" in text or thing.__name__ in BASES
    assert not {
        name for name in arguments if f"{name}:" not in text and f"`{name}`" not in text and f"{name}, " not in text
    }
