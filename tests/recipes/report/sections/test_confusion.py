import gc
import warnings

import numpy as np
import pytest

from recipes.errors import WorldError
from recipes.report.sections.confusion import sections_of_confusion

CLASSES = ["cat", "dog"]


def test_each_mistake_has_its_image_and_words(tmp_path):
    images = np.zeros((2, 300, 200, 3), "uint8")
    found = {"labels": [0, 1], "guesses": [1, 0], "confidences": [0.9, 0.75], "counts": [[3, 1], [1, 2]]}
    np.savez(tmp_path / "confusion.npz", images=images, **found)
    matrix, mistakes = sections_of_confusion(tmp_path, CLASSES)
    assert (matrix.title, mistakes.title) == ("Confusion matrix", "Most confident mistakes")
    assert matrix.texts == ["2 of 7 test images are taken for another class."]
    assert [p.words for p in mistakes.pictures] == ["cat taken for dog, 90%", "dog taken for cat, 75%"]
    assert all(len(p.source) < 2000 for p in mistakes.pictures)  # no larger than they are shown


def test_a_run_without_the_file_has_no_such_section(tmp_path):
    assert list(sections_of_confusion(tmp_path, CLASSES)) == []


def test_mistakes_that_are_damaged_are_not_left_open(tmp_path):
    (tmp_path / "confusion.npz").write_bytes(b"PK\x03\x04 nothing")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(WorldError, match=r"confusion\.npz is damaged"):
            list(sections_of_confusion(tmp_path, CLASSES))
        gc.collect()
    assert [each for each in caught if each.category is ResourceWarning] == []
