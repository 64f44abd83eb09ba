"""An optimizer of a user's own in a recipe: it gets what the settings say, and what has no effect is refused."""

import functools

import pytest

from custom_optimizers import BatchGD, SignMomentum
from custom_optimizers.clipping import ByGlobalNorm
from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError
from tests.recipes.test_recipe import made


class Plain(BatchGD):
    """Without momentum."""

    def __init__(self, learning_rate, **options):
        super().__init__(learning_rate, **options)


def optimizer_of(make, **settings):
    def make_optimizer(self, data):
        return Cifar10CNN.make_optimizer(self, data, make)

    recipe = made((Cifar10CNN,), make_optimizer=make_optimizer).from_preset("smoke", **settings)
    return recipe.model(recipe.load()).optimizer


def test_it_gets_what_the_settings_say():
    settings = {"weight_decay": 0.1, "ema_momentum": 0.5, "momentum": 0.7, "gradient_accumulation_steps": "2"}
    own = optimizer_of(SignMomentum, **settings, schedule="constant", learning_rate=0.25, clipping="by_global_norm:3")
    assert type(own) is SignMomentum
    assert (own.momentum, own.weight_decay, own.ema_momentum, own.gradient_accumulation_steps) == (0.7, 0.1, 0.5, 2)
    assert (float(own.learning_rate), own.clipping) == (0.25, ByGlobalNorm(3.0))


def test_momentum_is_given_to_what_has_it():
    assert optimizer_of(functools.partial(BatchGD, nesterov=True)).momentum == 0.9  # the default of recipes
    assert optimizer_of(Plain).momentum == 0.0
    assert optimizer_of(lambda momentum, **given: BatchGD(momentum=momentum / 2, **given)).momentum == 0.45


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "adam"}, "--optimizer adam: .*Made has an optimizer of its own; leave it out"),
        ({"momentum": 0.5}, "--momentum 0.5: the optimizer of .*Made has no argument `momentum`"),
    ],
)
def test_what_has_no_effect_is_refused(settings, said):
    with pytest.raises(CommandError, match=said):
        optimizer_of(Plain, **settings)
