"""What the methods of a user's recipe give, and what is said of what they should not give."""

import types

import keras
import numpy as np
import pytest

from recipes import training
from recipes.errors import WorldError
from recipes.linear_regression import LinearRegression
from recipes.training import contract


class Data:
    """What `load` of a recipe may give, as small as it can be."""

    train_size = 4

    def about(self):
        return {"name": "four numbers", "digest": "0123"}

    def sizes(self):
        return "4 numbers"

    def part(self, share):
        return self


def line(**methods):
    """A recipe that is a line but for some methods, which give what is named here."""
    body = {name: lambda self, *given, value=value, **named: value for name, value in methods.items()}
    return type("Line", (LinearRegression,), {"__doc__": "A line.", "__module__": __name__, **body})(epochs=2)


def data(**body):
    return type("Data", (Data,), body)()


def test_the_smallest_data_that_can_be():
    found = contract.load(line(load=Data()))
    assert contract.about(line(), found) == {"train": 4, "name": "four numbers", "digest": "0123"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "gives nothing (is there a `return`?) without `train_size`, how many samples are trained on"),
        ((np.zeros(3), np.zeros(3)), "gives a tuple without `train_size`"),
        (types.SimpleNamespace(train_size=3), "gives a SimpleNamespace without `about`, a method that gives a dict"),
        (data(train_size=0), "whose `train_size` is 0, not a number >= 1"),
        (data(train_size=2.5), "whose `train_size` is 2.5"),
        (data(about=lambda self: "images"), "whose `about` gives a str, not a dict"),
        (data(about=lambda self: {"name": "x"}), "whose `about` gives no text `digest`"),
        (data(about=lambda self: {"name": 3, "digest": "x"}), "whose `about` gives no text `name`"),
    ],
)
def test_data_that_lack_something(given, said):
    with pytest.raises(WorldError) as caught:
        contract.load(line(load=given))
    assert str(caught.value).startswith("`load` of Line gives ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


PLAIN = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("model", None, "gives nothing (is there a `return`?), not a keras.Model"),
        ("model", keras.layers.Dense(1), "gives a Dense, not a keras.Model"),
        ("model", PLAIN, "gives a model that is not compiled"),
        ("batches", None, "gives nothing (is there a `return`?), not `recipes.data.ShuffledBatches`"),
        ("batches", (np.zeros(3), np.zeros(3)), "gives a tuple, not"),
        ("batches", np.zeros(3), "gives a ndarray, not"),
        ("callbacks", None, "gives nothing (is there a `return`?), not a list"),
        ("callbacks", keras.callbacks.TerminateOnNaN(), "gives a TerminateOnNaN, not a list"),
        ("judge", None, "gives nothing (is there a `return`?), not a dict of figures"),
        ("judge", {"accuracy": 0.5}, "gives no number `distance`, which is missing; it has accuracy"),
        ("judge", {}, "gives no number `distance`, which is missing; it has nothing"),
        ("judge", {"distance": None}, "gives no number `distance`, which is None"),
    ],
)
def test_a_training_says_which_method_gives_something_else(tmp_path, method, given, said):
    with pytest.raises(WorldError) as caught:
        training.train(line(**{method: given}), tmp_path / "run")
    assert str(caught.value).startswith(f"`{method}` of Line {said}")


def test_where_the_method_is_written_is_said():
    class Line(LinearRegression):
        """A line."""

        def judge(self, model, data, run=None):
            self.summary({})  # and no return

    number = Line.judge.__code__.co_firstlineno
    Line.summary = lambda self, result: ""
    with pytest.raises(WorldError, match=rf"\({__file__}:{number}\)"):
        contract.judge(Line(), None, None, None)


def test_a_summary_is_a_text():
    with pytest.raises(WorldError, match="`summary` of Line gives nothing"):
        contract.summary(line(summary=None), {})


def test_numbers_of_arrays_are_numbers():
    assert contract.judge(line(judge={"distance": np.float32(2)}), None, None, None) == {"distance": 2}
    assert contract.validate(line(validate={"distance": np.float64(3)}), None, None) == {"distance": 3}
    with pytest.raises(WorldError, match="`validate` of Line gives no number `distance`, which is 'far'"):
        contract.validate(line(validate={"distance": "far"}), None, None)
