import pytest

from recipes import run as runs
from recipes.linear_regression import LinearRegression
from recipes.report import words

RESULT = {"slope": 2.0, "intercept": 1.0, "exact_slope": 2.0, "exact_intercept": 1.0, "distance": 0.0}


def test_what_is_not_set_is_a_dash():
    assert [words.value(value) for value in (None, "", 0, False, 0.25, ["a", "b"])] == [
        "–",
        "–",
        "0",
        "no",
        "0.25",
        "a b",
    ]


def found(kind="run", result=None):
    recipe = LinearRegression(epochs=5)
    result = None if result is None else {**result, "epochs": 5, "of": {"epochs": 5}}
    return runs.Directory(None, kind, recipe, {"epochs": 5}, result, [])


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (found(), None),
        (found(result={"outcome": "diverged", "updates": 1}), "Training diverged within 1 update."),
        (
            found(result={"outcome": "diverged", "updates": 40, "reason": "the loss is not finite"}),
            "Training diverged within 40 updates: the loss is not finite.",
        ),
        (found("trial", {"outcome": "diverged", "updates": 2}), "Training diverged within 2 updates."),
        (
            found("trial", {"outcome": "finished", "updates": 5}),
            "A trial of a search, which has not looked at the test part.",
        ),
        (found(result={**RESULT, "outcome": "finished", "updates": 5}), "y = 2.000000 x + 1.000000; the normal"),
    ],
)
def test_what_came_of_a_run(of, expected):
    outcome = words.outcome_of(of)
    assert outcome is None if expected is None else outcome.startswith(expected)
