import keras
import numpy as np
import pytest

from recipes.data import Augmentation, ShuffledBatches
from tests.small import scope

X = np.arange(23)


def batches(seed=0, batch_size=5):
    return ShuffledBatches(X, -X, batch_size, seed)


def order(batches, epoch):
    batches.epoch = epoch
    return np.concatenate([x for x, _ in batches]).tolist()


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own():
    orders = [order(batches(), epoch) for epoch in range(4)]
    assert all(sorted(each) == X.tolist() for each in orders)
    assert len(set(map(tuple, orders))) == 4
    assert order(batches(seed=1), 0) != orders[0]


def test_the_order_depends_on_seed_and_epoch_alone():
    used = batches()
    for epoch in (9, 3, 0):
        order(used, epoch)
    assert order(used, 2) == order(batches(), 2) == np.random.default_rng([0, 2]).permutation(X).tolist()


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("batch_size", [5, 23, 100])
def test_the_dataset_has_the_same_batches(first, batch_size):
    mine = batches(batch_size=batch_size)
    steps = mine.num_batches
    found = list(mine.dataset(first).take(2 * steps).as_numpy_iterator())
    for epoch in (first, first + 1):
        mine.epoch = epoch
        for (x, y), (a, b) in zip(mine, found[(epoch - first) * steps :], strict=False):
            np.testing.assert_array_equal(x, a)
            np.testing.assert_array_equal(y, b)


IMAGES = np.random.default_rng(0).integers(0, 256, (23, 6, 5, 3), np.uint8)
AUGMENTATION = Augmentation(translate=2, flip="alternating", cutout=2, seed=1)


def augmented(batch_size=5, devices=1, x=IMAGES, **options):
    with scope(devices):
        return ShuffledBatches(x, X, batch_size, 0, AUGMENTATION, **options)


def assert_same(mine, dataset, first, epochs=2):
    """`__getitem__` and `dataset(first)` give the same batches, of the same types."""
    steps = mine.num_batches
    found = list(dataset.take(epochs * steps).as_numpy_iterator())
    for epoch in range(first, first + epochs):
        mine.epoch = epoch
        for batch, other in zip(mine, found[(epoch - first) * steps :], strict=False):
            assert len(batch) == len(other)
            for a, b in zip(batch, other, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("batch_size", "devices", "drop_remainder", "dtype"),
    [
        (5, 1, False, "uint8"),
        (5, 1, True, "float32"),
        (23, 1, False, "uint8"),
        (100, 1, False, "float32"),
        (4, 2, False, "uint8"),
        (4, 2, True, "uint8"),
        (100, 2, False, "float32"),
    ],
)
def test_augmented_batches_are_the_same_in_the_dataset(batch_size, devices, drop_remainder, dtype):
    mine = augmented(batch_size, devices, IMAGES.astype(dtype), drop_remainder=drop_remainder)
    assert mine.dataset().element_spec[0].shape[1:] == IMAGES.shape[1:]
    for first in (0, 3):
        assert_same(mine, mine.dataset(first), first)


@pytest.mark.parametrize("devices", [1, 2])
def test_an_image_is_augmented_by_its_place_whatever_batch_it_is_in(devices):
    expected = AUGMENTATION.of(IMAGES)(X, 3)
    for batch_size in (2, 8, 22):
        mine = augmented(batch_size, devices)
        mine.epoch = 3
        for images, rows, *_ in mine:
            np.testing.assert_array_equal(images, expected[rows])


def test_augmented_epochs_resume():
    """What a data set from epoch 3 on gives is what one from the beginning gives there."""
    mine = augmented()
    steps = mine.num_batches
    whole = [x for x, _ in mine.dataset().take(5 * steps).as_numpy_iterator()]
    resumed = [x for x, _ in augmented().dataset(3).take(2 * steps).as_numpy_iterator()]
    for a, b in zip(whole[3 * steps :], resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_augmentation_that_changes_nothing_takes_what_is_no_image():
    mine = ShuffledBatches(X, -X, 5, 0, Augmentation())
    assert order(mine, 2) == order(batches(), 2)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(("batch_size", "steps"), [(2, 11), (6, 3), (22, 1)])
def test_the_smaller_last_batch_can_be_dropped(devices, batch_size, steps):
    with scope(devices):
        mine = ShuffledBatches(X, -X, batch_size, 0, drop_remainder=True)
    assert mine.num_batches == steps
    assert_same(mine, mine.dataset(2), 2)
    mine.epoch = 2
    found = list(mine)
    assert np.concatenate([x for x, *_ in found]).tolist() == order(batches(), 2)[: steps * batch_size]
    assert all((weights == 1).all() for _, _, *rest in found for weights in rest)
    assert mine.dataset().element_spec[0].shape == (batch_size,)


def test_a_whole_last_batch_is_not_dropped():
    mine = ShuffledBatches(X, -X, 23, 0, drop_remainder=True)
    assert [len(x) for x, _ in mine] == [23]


@pytest.mark.parametrize("devices", [1, 2])
def test_fit_trains_on_augmented_images(devices):
    """One step of a model that sums its inputs, whose mean change tells which images it saw."""
    mine = augmented(22, devices, IMAGES.astype("float32"), drop_remainder=True)
    with scope(devices):
        model = keras.Sequential([keras.Input(IMAGES.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(1.0), lambda y_true, y_pred: y_pred)
    before = model.get_weights()[0][:, 0]
    model.fit(mine.dataset(3), steps_per_epoch=1, epochs=1, shuffle=False, verbose=0)
    mine.epoch = 3
    mean = mine[0][0].mean(axis=0).ravel()
    np.testing.assert_allclose(before - model.get_weights()[0][:, 0], mean, rtol=1e-4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 24, "drop_remainder": True}, "`batch_size` must be at most 23, the number of samples"),
        ({"drop_remainder": 1}, "`drop_remainder` must be True or False"),
        ({"batch_size": 0}, "`batch_size` must be an int >= 1"),
        ({"batch_size": 0, "drop_remainder": True}, "`batch_size` must be an int >= 1"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=f"^ShuffledBatches: {said}"):
        ShuffledBatches(**{"x": X, "y": X, "batch_size": 5, "seed": 0, **given})


def test_an_augmentation_of_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match="Augmentation: `x` must be an array"):
        ShuffledBatches(X, X, 5, 0, AUGMENTATION)
