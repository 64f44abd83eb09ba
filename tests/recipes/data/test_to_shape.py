import numpy as np
import pytest
from PIL import Image

from recipes.data.to_shape import all_to_shape, to_shape
from recipes.errors import WorldError

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (8, 8, 3), np.uint8)
GREY = RANDOM.integers(0, 256, (8, 8), np.uint8)


def test_what_has_the_shape_stays_as_it_is():
    np.testing.assert_array_equal(to_shape(COLOUR, (8, 8, 3)), COLOUR)
    np.testing.assert_array_equal(to_shape(Image.fromarray(COLOUR), (8, 8, 3)), COLOUR)


@pytest.mark.parametrize(
    "image",
    [GREY, GREY[..., None], GREY.astype(np.uint16) * 257, GREY / 255, GREY.astype(">u2") * 257, Image.fromarray(GREY)],
)
def test_grey_of_every_depth_becomes_three_equal_channels(image):
    np.testing.assert_array_equal(to_shape(image, (8, 8, 3)), np.stack([GREY] * 3, axis=-1))


def test_sixteen_bits_and_floats_in_files_of_pil():
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    np.testing.assert_array_equal(to_shape(deep, (8, 8, 1))[..., 0], GREY)
    np.testing.assert_array_equal(to_shape(Image.fromarray((GREY / 255).astype("f")), (8, 8, 1))[..., 0], GREY)


def test_colour_becomes_luma():
    expected = np.round(COLOUR @ [0.299, 0.587, 0.114])
    np.testing.assert_allclose(to_shape(COLOUR, (8, 8, 1))[..., 0], expected, atol=1)


def test_other_proportions_are_cut_from_the_middle():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    np.testing.assert_array_equal(to_shape(wide, (8, 8, 3)), np.full((8, 8, 3), 200))


def test_shrinking_is_antialiased():
    checked = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = to_shape(checked, (8, 8, 1))
    assert abs(small.astype(int) - 127).max() < 20  # without a filter it would be 0 or 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_every_mode_of_pil(mode):
    image = Image.fromarray(COLOUR).convert("RGBA" if mode == "LA" else "RGB").convert(mode)
    assert to_shape(image, (8, 8, 3)).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), np.inf), "not finite"),
        (np.full((4, 4), 1.5), "outside 0 to 1"),
        (np.full((4, 4), -0.5), "outside 0 to 1"),
        (np.zeros((4, 4), np.int64), "type int64"),
        (np.zeros((4, 4, 7), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (Image.fromarray(np.full((4, 4), np.nan, "f")), "not finite"),
        (Image.fromarray(np.full((4, 4), -5, np.int32)), "outside 0 to 65535"),
    ],
)
def test_values_that_are_no_image(image, said):
    with pytest.raises(WorldError, match=said):
        to_shape(image, (8, 8, 3))


def test_many_at_once_are_each_alone():
    images = RANDOM.integers(0, 256, (5, 9, 7, 3), np.uint8)
    np.testing.assert_array_equal(all_to_shape(images, (8, 8, 3)), [to_shape(image, (8, 8, 3)) for image in images])
    grey = images[:, :8, :7, :1].copy()
    np.testing.assert_array_equal(all_to_shape(grey, (8, 7, 3)), [to_shape(image, (8, 7, 3)) for image in grey])
