import numpy as np
import pytest

from recipes.cifar10_cnn import Cifar10CNN
from recipes.data import load
from recipes.errors import CommandError

MINI = {"optimizer": "sgd", "batch_size": 20}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"flip": "random"}, "--flip: full batches are the same images .*; it is random"),
        ({"translate": 2}, "--translate: full batches are the same images .*; it is 2"),
        ({"cutout": 4, "optimizer": "nesterov"}, "--cutout: full batches .* are not; it is 4"),
        ({"cutout": 4, "optimizer": "accumulate:sgd"}, "--cutout: full batches"),
        ({**MINI, "translate": 32}, "--translate must be at most 31, of images of 32 pixels"),
        ({**MINI, "cutout": 33}, "--cutout must be at most 32, of images of 32 pixels"),
        ({**MINI, "translate": -1}, "--translate must be a whole number from 0 to 1023; it is -1"),
        ({**MINI, "flip": "often"}, "--flip: no flip 'often'; there are: alternating, none, random"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(CommandError, match=said):
        Cifar10CNN(**given)


@pytest.mark.parametrize("given", [MINI, {"optimizer": "nesterov", "gradient_accumulation_steps": "2"}])
def test_mini_batches_may_be_of_changed_images(given):
    recipe = Cifar10CNN(**given, flip="alternating", translate=31, cutout=32, seed=3)
    augmentation = recipe.augmentation
    assert (augmentation.flip, augmentation.translate, augmentation.cutout, augmentation.seed) == (
        "alternating",
        31,
        32,
        3,
    )


def test_the_images_of_a_batch_are_changed_and_their_labels_are_not():
    images = load("digits", train_images=40)
    plain, mirrored = (
        next(iter(Cifar10CNN(**MINI, flip=flip).batches(images).endless())) for flip in ("none", "alternating")
    )
    np.testing.assert_array_equal(plain[1], mirrored[1])
    there = np.asarray(plain[0])
    for one, other in zip(there, np.asarray(mirrored[0]), strict=True):
        assert np.array_equal(one, other) or np.array_equal(one[:, ::-1], other)
    assert not np.array_equal(there, mirrored[0])
