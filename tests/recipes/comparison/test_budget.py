import pytest

from recipes.comparison import Budget, parse_budget
from recipes.errors import CommandError


@pytest.mark.parametrize(
    ("text", "epochs"),
    [
        ("epochs=30", 30),
        ("updates=100", 9),
        ("updates=96", 8),
        ("updates=5", 1),
        ("seconds=7.9", 15),
        ("seconds=0.1", 1),
    ],
)
def test_epochs_are_those_that_have_the_updates_or_fit_into_the_seconds(text, epochs):
    """Of twelve updates and half a second each."""
    assert parse_budget(text).epochs(12, 0.5) == epochs
    assert str(parse_budget(text)) == text


@pytest.mark.parametrize(
    "text", ["", "epochs", "epochs=", "epochs=0", "epochs=1.5", "seconds=-1", "hours=3", "updates=x"]
)
def test_what_is_no_budget_is_told(text):
    with pytest.raises(CommandError, match="--budget"):
        parse_budget(text)


def test_full_batches_have_an_update_an_epoch():
    assert Budget("updates", 150).epochs(1, 0.1) == 150
