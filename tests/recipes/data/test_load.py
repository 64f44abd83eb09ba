import os
import time

import numpy as np
import pytest

from recipes.data import load
from recipes.data.split import held_out
from recipes.errors import CommandError, WorldError


@pytest.mark.parametrize("size", [1, 7, 50, 99])
def test_held_out_is_stratified_and_exact(size):
    y = np.repeat([3, 5, 9], [60, 30, 10])
    kept, held = held_out(y, size, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(100))
    assert len(held) == size
    for label, count in ((3, 60), (5, 30), (9, 10)):
        assert abs((y[held] == label).sum() - count * size / 100) < 1


def test_held_out_follows_its_seed():
    y = np.zeros(100, int)
    first, same, other = (held_out(y, 10, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def rows(part):
    x, y = part
    return {(image.tobytes(), int(label)) for image, label in zip(x, y, strict=True)}


def test_validation_comes_from_the_training_part_and_the_test_part_is_the_same_for_every_seed():
    first, second = load("digits", seed=0), load("digits", seed=1)
    np.testing.assert_array_equal(first.test[0], second.test[0])
    assert [len(y) for _, y in first[2:5]] == [1293, 144, 360]
    assert rows(first.train) | rows(first.validation) == rows(second.train) | rows(second.validation)
    assert rows(first.validation) != rows(second.validation)
    assert not rows(first.train) & rows(first.validation)
    assert first.digest == second.digest


@pytest.mark.parametrize("seed", [0, 1])
def test_fewer_images_are_a_part_of_the_training_part(seed):
    whole, part = load("digits", seed=seed), load("digits", train_images=500, seed=seed)
    assert len(part.train[1]) == 500
    assert rows(part.train) < rows(whole.train)
    assert rows(part.validation) == rows(whole.validation)
    assert set(np.bincount(part.train[1])) <= set(range(47, 53))


def test_more_images_than_there_are():
    with pytest.raises(CommandError, match="digits has 1293 to train on; 2000 were asked for"):
        load("digits", train_images=2000)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifar", "did you mean cifar10?"),
        ("tfds:", "write a name behind the colon"),
        ("folder:", "write a path behind the colon"),
        ("imagenet", "there are: cifar10, digits, folder:PATH, tfds:NAME"),
    ],
)
def test_names_that_mean_nothing(name, said):
    with pytest.raises(CommandError) as error:
        load(name)
    assert said in str(error.value)


def test_nothing_is_taken_in_place_of_what_is_missing(tmp_path):
    with pytest.raises(WorldError) as error:
        load("cifar10", data_dir=tmp_path)
    said = str(error.value)
    for part in (str(tmp_path), "prepare cifar10 --archive cifar-10-binary.tar.gz", "--download", "--data-dir"):
        assert part in said
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif("KERAS_DESCENT_CIFAR10" not in os.environ, reason="no real CIFAR-10 here")
def test_real_cifar10_opens_in_under_a_second():
    seconds = []
    for _ in range(4):  # the first may fill the cache
        start = time.perf_counter()
        load("cifar10", data_dir=os.environ["KERAS_DESCENT_CIFAR10"])
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


@pytest.mark.skipif("KERAS_DESCENT_CIFAR10" not in os.environ, reason="no real CIFAR-10 here")
def test_real_cifar10():
    images = load("cifar10", data_dir=os.environ["KERAS_DESCENT_CIFAR10"])
    assert images.classes[:3] == ("airplane", "automobile", "bird")
    assert [x.shape for x, _ in images[2:5]] == [(45000, 32, 32, 3), (5000, 32, 32, 3), (10000, 32, 32, 3)]
    assert set(np.bincount(images.train[1])) == {4500}
    assert set(np.bincount(images.test[1])) == {1000}
    mean = np.concatenate([images.train[0], images.validation[0]]).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(
        mean, [125.3, 123.0, 113.9], atol=1.5
    )  # of the original; of the JPEG copy 124.1, …, 112.6


def test_fewer_images_than_a_preset_has_are_all_taken_and_fewer_than_were_asked_for_are_refused(capsys):
    images = load("digits", train_images=5000, or_all=True)
    assert len(images.train[1]) == 1293
    assert capsys.readouterr().out.splitlines()[-1] == (
        "digits has 1293 images to train on, fewer than the 5000 of the preset: all are taken."
    )
    with pytest.raises(CommandError, match="--train-images: digits has 1293 to train on; 5000 were asked for"):
        load("digits", train_images=5000)
