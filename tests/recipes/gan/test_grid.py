import numpy as np
import pytest

from recipes.gan import grid


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_grid_has_every_image_in_its_place(channels, mode):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, channels), dtype="uint8")
    picture = grid(images, columns=3)
    assert (picture.mode, picture.size) == (mode, (48, 24))
    pixels = np.asarray(picture).reshape(24, 48, channels)[::2, ::2]
    assert np.array_equal(pixels[6:10, 8:14], images[4])
    assert (pixels[6:, 16:] == 64).all()
    assert (pixels[4:6] == 64).all()
    assert grid(images).size == (48, 24)
