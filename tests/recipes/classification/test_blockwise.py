import numpy as np
import pytest

from callbacks import BlockGradient, GradientRegularizer, SharpnessAware
from recipes.cifar10_cnn import Cifar10CNN
from recipes.data import load
from recipes.errors import CommandError

WRONG = [
    ({"block_size": 32, "batch_size": 48}, "multiple of --block-size 32, such as 32; it is 48"),
    ({"block_size": 32, "batch_size": 63}, "multiple of --block-size 32, such as 64"),
    ({"block_size": 32, "batch_size": 3}, "multiple of --block-size 32, such as 32"),
    ({"block_size": 0}, "--block-size"),
    ({"gradient_regularizer": 0.5, "sharpness_aware": 0.1}, "give one of them"),
    ({"gradient_regularizer": -1.0}, "--gradient-regularizer must be"),
    ({"sharpness_aware": -1.0}, "--sharpness-aware must be"),
    ({"remainder": "none"}, "no remainder 'none'"),
    ({"remainder": "smaller"}, "--remainder is without effect: give --block-size"),
    ({"gradient_regularizer_method": "guess"}, "no gradient regularizer method 'guess'"),
    ({"gradient_regularizer_method": "hessian"}, "is without effect: give --gradient-regularizer"),
    (
        {"block_size": 32, "batch_size": 32, "remainder": "smaller", "gradient_accumulation_steps": "1"},
        "--remainder smaller is of full batches",
    ),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(CommandError, match=said):
        Cifar10CNN(**given)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"block_size": 32}, BlockGradient),
        ({"gradient_regularizer": 0.5}, GradientRegularizer),
        (
            {"gradient_regularizer": 0.5, "gradient_regularizer_method": "hessian", "block_size": 32},
            GradientRegularizer,
        ),
        ({"sharpness_aware": 0.1, "block_size": 64}, SharpnessAware),
    ],
)
def test_what_takes_the_gradients(given, kind):
    recipe = Cifar10CNN(**given, batch_size=64, early_stopping=3)
    first, stopping = recipe.callbacks(load("digits", train_images=70), None)
    assert type(first) is kind
    assert first.block_size == given.get("block_size")
    assert stopping.patience == 3
    if kind is GradientRegularizer:
        assert (first.strength, first.method) == (0.5, given.get("gradient_regularizer_method", "differences"))


def test_without_any_of_them_nothing_does():
    assert Cifar10CNN().callbacks(None, None) == []


@pytest.mark.parametrize(
    ("given", "count"),
    [({}, 70), ({"block_size": 32}, 64), ({"block_size": 32, "remainder": "smaller"}, 70), ({"block_size": 128}, 70)],
)
def test_the_images_behind_the_last_block(given, count):
    images = load("digits", train_images=70)
    recipe = Cifar10CNN(**given, batch_size=128)
    x, y = recipe.trained_on(images)
    assert recipe.count(images) == len(x) == len(y) == count
    there = {image.tobytes() for image in images.train[0]}
    assert {image.tobytes() for image in x} <= there
    in_order = np.array_equal(x, images.train[0][:count])
    assert in_order == ("block_size" not in given)
