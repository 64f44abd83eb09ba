import hashlib

import numpy as np
from sklearn.datasets import load_digits

from recipes.data import digits


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
