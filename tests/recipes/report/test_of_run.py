"""What a page says of a run."""

import gc
import json
import warnings

import numpy as np
import pytest

from recipes.errors import WorldError
from recipes.report.of_run import environment, sections_of_run, words_of_value

FIRST = {"date": "2026-11-27T07:26:08+00:00", "command": ["python", "-m", "recipes"], "devices": ["cpu:0"]}


def test_of_a_later_start_only_what_changed_is_said(tmp_path):
    later = {**FIRST, "date": "2026-11-28T01:02:03+00:00", "devices": ["gpu:0", "gpu:1"]}
    (tmp_path / "environment.json").write_text(json.dumps({"starts": [FIRST, later]}))
    (section,) = environment(tmp_path)
    first, second = section.tables
    assert first.rows == [["date", "2026-11-27 07:26 UTC"], ["command", "python -m recipes"], ["devices", "cpu:0"]]
    assert second.rows == [["date", "2026-11-28 01:02 UTC"], ["devices", "gpu:0 gpu:1"]]
    (tmp_path / "environment.json").write_text(json.dumps({"starts": [FIRST]}))
    assert [each.texts for each in environment(tmp_path)] == [[]]


def test_each_mistake_has_its_image_and_words(tmp_path):
    images = np.zeros((2, 300, 200, 3), "uint8")
    found = {"labels": [0, 1], "guesses": [1, 0], "confidences": [0.9, 0.75], "counts": [[3, 1], [1, 2]]}
    np.savez(tmp_path / "confusion.npz", images=images, **found)
    sections = {s.title: s for s in sections_of_run(tmp_path, {"trained_on": {"classes": ["cat", "dog"]}}, "again")}
    assert "Data" in sections
    assert sections["Confusion matrix"].texts == ["2 of 7 test images are taken for another class."]
    pictures = sections["Most confident mistakes"].pictures
    assert [p.words for p in pictures] == ["cat taken for dog, 90%", "dog taken for cat, 75%"]
    assert all(len(p.source) < 2000 for p in pictures)  # no larger than they are shown


def test_mistakes_that_are_damaged_are_not_left_open(tmp_path):
    (tmp_path / "confusion.npz").write_bytes(b"PK\x03\x04 nothing")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(WorldError, match=r"confusion\.npz is damaged"):
            sections_of_run(tmp_path, {"trained_on": {"classes": ["cat", "dog"]}}, "again")
        gc.collect()
    assert [each for each in caught if each.category is ResourceWarning] == []


def test_what_is_not_set_is_a_dash():
    assert [words_of_value(value) for value in (None, "", 0, False, 0.25, ["a", "b"])] == [
        "–",
        "–",
        "0",
        "False",
        "0.25",
        "a b",
    ]
