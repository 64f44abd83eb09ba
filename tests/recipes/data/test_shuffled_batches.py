import numpy as np
import pytest

from recipes.data import ShuffledBatches

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
