import inspect

import keras
import pytest

import custom_optimizers
from custom_optimizers.clipping import ByGlobalNorm
from recipes import optimizers
from recipes.errors import CommandError

OPTIMIZERS_THAT_WRAP = {"LossScaleOptimizer", "MultiOptimizer", "Optimizer", "Descent"}


def optimizers_of(module):
    found = {n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, keras.optimizers.Optimizer)}
    return found - OPTIMIZERS_THAT_WRAP


def test_the_tables_hold_every_optimizer():
    """They are written down because Keras is not imported to look a name up."""
    assert set(optimizers.OURS) == optimizers_of(custom_optimizers)
    assert set(optimizers.KERAS) == optimizers_of(keras.optimizers)


@pytest.mark.parametrize("name", optimizers.OURS + optimizers.KERAS)
def test_every_optimizer_can_be_made_by_both_names(name):
    for written in (name, optimizers.snake_case(name)):
        optimizer = optimizers.make(written, learning_rate=0.5, momentum=None, clipping="by_global_norm:2")
        assert type(optimizer).__name__ == name
        assert float(optimizer.learning_rate.numpy()) == 0.5
        assert optimizer.global_clipnorm == 2.0 or optimizer.clipping == ByGlobalNorm(2.0)


@pytest.mark.parametrize("name", optimizers.OURS + optimizers.KERAS)
def test_momentum_is_known_for_those_that_have_it(name):
    cls = getattr(keras.optimizers, name, None) or getattr(custom_optimizers, name)
    has = "momentum" in inspect.signature(cls.__init__).parameters
    assert (name in optimizers.WITH_MOMENTUM) == has


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("BatchGD", "batch_gd"),
        ("RMSprop", "rmsprop"),
        ("AdamW", "adamw"),
        ("ScheduleFreeAdamW", "schedule_free_adamw"),
        ("SGD", "sgd"),
        ("Adam", "adam"),
    ],
)
def test_snake_case(name, written):
    assert optimizers.snake_case(name) == written
    assert optimizers.class_name(written) == name


@pytest.mark.parametrize(
    ("name", "near"), [("batchgd", None), ("batch_dg", "batch_gd"), ("adm", "adam"), ("qq", "there are")]
)
def test_unknown_names_bring_the_nearest(name, near):
    if near is None:
        assert optimizers.class_name(name) == "BatchGD"
        return
    with pytest.raises(CommandError, match=near):
        optimizers.class_name(name)


@pytest.mark.parametrize("text", ["by_norm", "by_norm:0", "by_norm:-1", "by_norm:x", "by_norm:inf", "by_nrm:1", "1.0"])
def test_clippings_that_cannot_be(text):
    with pytest.raises(CommandError):
        optimizers.parse_clipping(text)


def test_clippings():
    assert optimizers.parse_clipping("none") is None
    assert optimizers.parse_clipping("by_value:0.5") == ("by_value", 0.5)
    assert optimizers.make("sgd", learning_rate=0.1, momentum=0.5, clipping="by_value:0.5").clipvalue == 0.5


@pytest.mark.parametrize(("name", "momentum"), [("adam", 0.9), ("sgd", 1.5), ("batch_gd", -0.1)])
def test_momentum_that_cannot_be(name, momentum):
    with pytest.raises(CommandError, match="momentum"):
        optimizers.check_momentum(name, momentum)
