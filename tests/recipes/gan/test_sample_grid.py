import types

import numpy as np
import pytest

from recipes.gan import SampleGrid, grid, some_of_each, whole_rows

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype="uint8")


class Shown:
    """A run that keeps what it is given."""

    def __init__(self):
        self.shown, self.logs = [], []

    def history(self):
        return self.logs

    def show(self, tag, picture, epoch):
        self.shown.append((tag, epoch))
        assert np.array_equal(picture, grid(IMAGES, 3))


def test_the_same_noise_is_drawn_now_and_then_and_last_of_all():
    run, asked = Shown(), []
    callback = SampleGrid(2, run, count=6, columns=3)
    callback.set_model(types.SimpleNamespace(generate=lambda count, seed: asked.append((count, seed)) or IMAGES))
    callback.set_params({"epochs": 5})
    for epoch in range(5):
        callback.on_epoch_end(epoch)
    assert run.shown == [("samples", epoch) for epoch in (1, 3, 4)]
    assert asked == [(6, 0)] * 3


def test_real_images_are_drawn_once_and_not_again_where_a_run_goes_on():
    run = Shown()
    SampleGrid(2, run, columns=3, real=IMAGES).on_train_begin()
    run.logs.append({"epoch": 0})
    SampleGrid(2, run, columns=3, real=IMAGES).on_train_begin()
    assert run.shown == [("real", 0)]


@pytest.mark.parametrize(
    ("count", "columns", "expected"),
    [(64, 10, 60), (64, 8, 64), (64, None, 64), (64, 100, 100), (7, 2, 8)],
)
def test_rows_are_filled(count, columns, expected):
    assert whole_rows(count, columns) == expected


def test_real_images_stand_in_the_columns_of_their_classes():
    y = np.array([0] * 9 + [2] * 3)  # no image of class 1
    x = np.arange(12)
    found = some_of_each(x, y, 12, 3)
    assert set(y[found[0::3]]) == {0}
    assert set(y[found[2::3]]) == {2}
    assert len(set(found[0::3])) == 4
    assert len(found) == 12
    assert np.array_equal(found, some_of_each(x, y, 12, 3))
    assert sorted(some_of_each(x, y, 12)) == list(range(12))
    assert len(some_of_each(x, y, 30)) == 30
