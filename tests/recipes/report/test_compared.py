"""What is told of a comparison beside its table: rates at an end of the search, and budgets that were missed."""

import pytest

from recipes.comparison.budget import parse_budget
from recipes.linear_regression import LinearRegression
from recipes.report import budget_lines, cells_of, end_lines
from recipes.report.compared import as_text, target_lines

ROW = {
    "contender": "adam",
    **{
        "learning_rate": 0.25,
        "mean": 1.0,
        "low": None,
        "high": None,
        "loss": None,
        "loss_low": None,
        "loss_high": None,
    },
    **{"updates": 30, "epochs": 30, "seconds": 6.0, "images": 3000, "peak_mib": 60.0},
    **{"clipped_share": None, "skipped_updates": None, "rate_is": None},
}


@pytest.mark.parametrize(
    ("rate_is", "cell", "where"),
    [
        (None, "0.25", []),
        ("lowest", "0.25*", ["below it, or between it and the next"]),
        ("highest", "0.25*", ["above it, or between it and the one before"]),
        ("only", "0.25*", ["elsewhere"]),
    ],
)
def test_a_rate_at_an_end_of_those_that_were_tried_has_a_star_and_a_line(rate_is, cell, where):
    row = {**ROW, "rate_is": rate_is}
    begin = f"* adam: 0.25 is the {rate_is} learning rate that was tried; a better one may lie"
    assert list(end_lines([row])) == [f"{begin} {each}, so give more --trials." for each in where]
    assert cells_of(LinearRegression, [row], None)[1][1] == cell
    assert cell in as_text(LinearRegression, [row], None)


def test_comparisons_of_older_versions_do_not_say_it():
    row = {name: value for name, value in ROW.items() if name != "rate_is"}
    assert list(end_lines([row])) == []
    assert cells_of(LinearRegression, [row], None)[1][1] == "0.25"


@pytest.mark.parametrize(
    ("budget", "seconds", "is_told"),
    [("seconds=6", 14.0, True), ("seconds=6", 4.0, True), ("seconds=6", 7.0, False), ("epochs=6", 14.0, False)],
)
def test_a_budget_of_seconds_that_was_missed_is_told(budget, seconds, is_told):
    lines = list(budget_lines([{**ROW, "seconds": seconds}], parse_budget(budget)))
    assert [line.partition(":")[0] for line in lines] == [f"adam took {seconds} of 6 seconds"] * is_told


def test_a_target_that_is_not_logged_is_told():
    rows = [{"curve": [{"loss": "0.1"}]}, {"curve": []}]
    assert list(target_lines(LinearRegression(), rows, None)) == []
    (line,) = target_lines(LinearRegression(), rows, 0.001)
    assert line == "--target 0.001: linear_regression has distance only at the end, so what it took is not known."
    assert list(target_lines(LinearRegression(), [{"curve": [{"distance": "0.1"}]}], 0.001)) == []
