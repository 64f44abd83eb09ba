"""Quantities as readers get them."""

import pytest

from recipes.settings.quantities import counted, duration, percent


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0312, "0.031 s"),
        (0.5, "0.5 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.94, "60 s"),
        (59.96, "1 min"),
        (189.455, "3 min 9 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (0, "0 s"),
    ],
)
def test_times(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (0.5, "0.5 epochs")])
def test_counts(number, text):
    assert counted(number, "epoch") == text


def test_shares():
    assert percent(0.991667) == "99.2 %"
