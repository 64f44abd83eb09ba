import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from recipes.data import digits
from recipes.data.to_shape import all_to_shape


def test_all_digits_in_two_parts_that_share_none():
    images = digits()
    parts = (images.train, images.test)
    assert [len(x) for x, _ in parts] == [1437, 360]
    assert all(x.shape[1:] == (32, 32, 3) and x.dtype == "uint8" for x, _ in parts)
    scans, labels = load_digits(return_X_y=True)
    small = [np.concatenate([x[:, ::4, ::4, 0].reshape(len(x), 64), y[:, None]], axis=1) for x, y in parts]
    mine = sorted(map(bytes, np.concatenate(small).astype("uint8")))
    theirs = np.concatenate([np.round(scans * 255 / 16), labels[:, None]], axis=1)
    assert mine == sorted(map(bytes, theirs.astype("uint8")))


def test_the_parts_are_the_same_every_time_and_stratified():
    first, second = digits(), digits()
    for (x, y), (again, labels) in zip((first.train, first.test), (second.train, second.test), strict=True):
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, labels)
    assert set(np.bincount(first.test[1])) <= {35, 36, 37}


def test_a_pixel_becomes_a_square_of_grey():
    image = digits().train[0][0]
    np.testing.assert_array_equal(image, image[..., :1].repeat(3, axis=2))
    np.testing.assert_array_equal(image, image[::4, ::4].repeat(4, axis=0).repeat(4, axis=1))
    assert image.max() == 255


def test_the_digest_is_that_of_classes_pixels_and_labels():
    images = digits()
    contents = [b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9", *(array.tobytes() for array in (*images.train, *images.test))]
    sha = hashlib.sha256(b"".join(contents))
    assert images.digest == sha.hexdigest()


@pytest.mark.parametrize(
    ("shape", "square"), [((32, 32, 1), 4), ((8, 8, 1), 1), ((16, 24, 3), (2, 3)), ((64, 64, 3), 8)]
)
def test_scans_are_enlarged_to_a_multiple_of_their_side(shape, square):
    images, scans = digits(shape), digits((8, 8, 1))
    rows, columns = square if isinstance(square, tuple) else (square, square)
    for (x, y), (scan, labels) in zip((images.train, images.test), (scans.train, scans.test), strict=True):
        expected = scan.repeat(rows, axis=1).repeat(columns, axis=2).repeat(shape[2], axis=3)
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(y, labels)
        assert (x.dtype, y.dtype, x.shape[1:]) == ("uint8", "int32", shape)


@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 20, 3), (30, 40, 1)])
def test_images_of_other_sides_are_made_of_those_of_32(shape):
    images, large = digits(shape), digits()
    for (x, y), (enlarged, labels) in zip((images.train, images.test), (large.train, large.test), strict=True):
        np.testing.assert_array_equal(x, all_to_shape(enlarged, shape))
        np.testing.assert_array_equal(y, labels)
        assert (x.dtype, x.shape[1:]) == ("uint8", shape)


def test_the_digest_is_the_same_for_each_shape():
    """A run goes on with the images it was begun on, whatever shape the recipe has them in."""
    assert {digits(shape).digest for shape in ((32, 32, 3), (32, 32, 1), (28, 28, 1), (8, 8, 1))} == {digits().digest}
