import types

import numpy as np

from recipes.gan import SampleGrid, grid

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), dtype="uint8")


class Shown:
    """A run that keeps what it is given."""

    def __init__(self):
        self.shown = []

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
