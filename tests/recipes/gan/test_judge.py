import numpy as np
import pytest

from recipes.gan.judge import labels_in_turn


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 3], [0, 1, 0, 1, 0, 1]),
        ([10, 11], [k % 2 for k in range(21)]),  # nearly alike
        ([1, 3], [1, 0, 1, 1]),
        ([0, 2], [1, 1]),
    ],
)
def test_labels_are_alike_or_as_often_as_in_the_images(counts, expected):
    assert labels_in_turn(np.repeat(range(len(counts)), counts), len(counts)).tolist() == expected
