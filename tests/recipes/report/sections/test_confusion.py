import gc
import warnings

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from recipes.errors import WorldError
from recipes.report.sections.confusion import sections_of_confusion
from recipes.settings.quantities import percent

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


def test_recall_and_precision_of_each_class_stand_beside_the_matrix(tmp_path):
    """As scikit-learn has them: no precision where nothing is taken for a class, and no recall without its images."""
    counts = np.array([[3, 1, 0, 0], [2, 4, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    found = {"labels": [], "guesses": [], "confidences": [], "counts": counts}
    np.savez(tmp_path / "confusion.npz", images=np.zeros((0, 4, 4, 3), "uint8"), **found)
    (section,) = sections_of_confusion(tmp_path, ["a", "b", "c", "d"])
    y, guesses = (np.repeat(axis, counts.ravel()) for axis in (np.arange(4).repeat(4), np.tile(np.arange(4), 4)))
    precision, recall, *_ = precision_recall_fscore_support(y, guesses, labels=range(4), zero_division=np.nan)
    (table,) = section.tables
    for row, p, r in zip(table.rows, precision, recall, strict=True):
        assert row[2:] == ["–" if np.isnan(each) else percent(each) for each in (r, p)]
    assert [row[:2] for row in table.rows] == [["a", 4], ["b", 6], ["c", 1], ["d", 0]]


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
