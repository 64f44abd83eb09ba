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


WRONG = {
    "": "--budget: no budget ''; there are: epochs, seconds, updates",
    "3": "--budget 3: say of what, such as epochs=3",
    "0.5": "--budget 0.5: say of what, such as epochs=1",
    "hours=3": "--budget: no budget 'hours'; there are: epochs, seconds, updates",
    "epoch=3": "--budget: no budget 'epoch'; did you mean epochs?",
    "epochs": "--budget: write a whole number > 0, such as epochs=30",
    "epochs=": "--budget: write a whole number > 0, such as epochs=30",
    "epochs=0": "--budget: write a whole number > 0, such as epochs=30",
    "epochs=1.5": "--budget: write a whole number > 0, such as epochs=30",
    "epochs=nan": "--budget: write a whole number > 0, such as epochs=30",
    "epochs=1e99": "--budget: write a whole number > 0, such as epochs=30",
    "updates=x": "--budget: write a whole number > 0, such as updates=30",
    "seconds=-1": "--budget: write a number > 0, such as seconds=30",
    "seconds=inf": "--budget: write a number > 0, such as seconds=30",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_budget_is_told(text):
    with pytest.raises(CommandError) as caught:
        parse_budget(text)
    assert str(caught.value) == WRONG[text]


def test_full_batches_have_an_update_an_epoch():
    assert Budget("updates", 150).epochs(1, 0.1) == 150
