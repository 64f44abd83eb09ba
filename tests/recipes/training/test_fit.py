"""One `fit` that is recorded, resumed, made in parts, and ended by what is not finite."""

import keras
import numpy as np
import pytest

from recipes import training
from recipes.errors import Diverged, WorldError
from recipes.linear_regression import LinearRegression
from recipes.run import Run, rows_of, seconds_of
from tests.recipes.scans_mlp import ScansMLP

LINE = LinearRegression(epochs=4, batch_size=20, learning_rate=0.3)


def trained(directory, recipe=LINE, parts=(None,), **options):
    """`(weights, trained, run)` of a recipe that is trained in parts."""
    with Run(recipe, directory) as run:
        data = recipe.load()
        run.begin(data.about())
        for until in parts:
            model, found = training.fit(recipe, run, data, until=until, **options)
        return model.get_weights(), found, run


def test_what_it_says_of_a_training(tmp_path):
    _, found, run = trained(tmp_path)
    assert {name: found[name] for name in ("outcome", "epochs", "updates")} == {
        "outcome": "finished",
        "epochs": 4,
        "updates": 20,
    }
    assert found["training_seconds"] == pytest.approx(sum(seconds_of(tmp_path)), abs=1e-3)
    assert [int(row["epoch"]) for row in rows_of(tmp_path / "metrics.csv")] == [0, 1, 2, 3]
    assert run.epochs_done() == len(run.history()) == 4


@pytest.mark.parametrize("parts", [(1, None), (2, 3, 4), (1, 1, 4)])
def test_a_training_in_parts_is_that_at_once(tmp_path, parts):
    weights, found, _ = trained(tmp_path / "once")
    again, other, _ = trained(tmp_path / "parts", parts=parts)
    for a, b in zip(weights, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "once" / "metrics.csv").read_text() == (tmp_path / "parts" / "metrics.csv").read_text()
    assert {**other, "training_seconds": None} == {**found, "training_seconds": None}


def test_a_part_that_is_made_is_finished(tmp_path):
    _, found, run = trained(tmp_path, parts=(2,))
    assert (found["outcome"], found["epochs"], found["updates"], run.epochs_done()) == ("finished", 2, 10, 2)


def test_a_model_may_be_given(tmp_path):
    data = LINE.load()
    model = LINE.model(data)
    model.set_weights([np.full((1, 1), 5.0), np.full((1,), 5.0)])
    with Run(LINE, tmp_path) as run:
        run.begin(data.about())
        same, _ = training.fit(LINE, run, data, model, until=1)
    assert same is model
    assert model.get_weights()[0].item() != pytest.approx(trained(tmp_path / "other", parts=(1,))[0][0].item())


class Breaks(keras.callbacks.Callback):
    """Raises, or makes a weight NaN, at the end of an epoch."""

    def __init__(self, epoch, error=None):
        super().__init__()
        self.epoch, self.error = epoch, error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch and self.error is not None:
            raise self.error
        if epoch == self.epoch:
            self.model.set_weights([np.full_like(weight, np.nan) for weight in self.model.get_weights()])


def test_what_is_raised_inside_ends_it_as_diverged_with_the_reason(tmp_path):
    _, found, run = trained(tmp_path, callbacks=[Breaks(2, Diverged("the loss is not finite in step 3"))])
    assert (found["outcome"], found["epochs"], found["updates"]) == ("diverged", 2, 15)
    assert found["reason"] == "the loss is not finite in step 3"
    assert len(rows_of(tmp_path / "metrics.csv")) == len(seconds_of(tmp_path)) == 2  # all that came to their end
    assert 1 <= run.epochs_done() <= 2  # saved once a second


def test_in_the_first_epoch_too(tmp_path):
    _, found, run = trained(tmp_path, callbacks=[Breaks(0, Diverged("the first"))])
    assert (found["outcome"], found["epochs"], found["reason"], run.epochs_done()) == ("diverged", 0, "the first", 0)
    assert rows_of(tmp_path / "metrics.csv") == []


def test_weights_that_are_not_finite_at_the_end_are_no_success(tmp_path):
    _, found, _ = trained(tmp_path, callbacks=[Breaks(3)])
    assert (found["outcome"], found["epochs"]) == ("diverged", 4)
    assert "reason" not in found


def test_other_errors_are_raised(tmp_path):
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, callbacks=[Breaks(1, ZeroDivisionError())])


def test_a_state_that_is_not_of_this_model_is_one_line(tmp_path):
    trained(tmp_path, parts=(1,))
    other = ScansMLP.from_preset("smoke", width=8)
    data = other.load()
    with Run(other, tmp_path / "other") as run:
        run.begin(data.about())
        (tmp_path / "state.npz").rename(tmp_path / "other" / "state.npz")
        with pytest.raises(WorldError, match=r"state\.npz was made with another model or optimizer"):
            training.fit(other, run, data, verbose=0)


def test_full_batches_are_one_update_an_epoch_and_early_stopping_is_told(tmp_path):
    recipe = ScansMLP(
        width=8, depth=1, train_images=60, epochs=30, early_stopping=1, learning_rate=50.0, schedule="constant"
    )
    _, found, run = trained(tmp_path, recipe, verbose=0)
    assert found["outcome"] == "stopped early"
    assert found["updates"] == found["epochs"] == run.epochs_done() < 30
    _, again, _ = trained(tmp_path, recipe, verbose=0)  # it has stopped, and makes no other epoch
    assert (again["outcome"], again["epochs"]) == ("stopped early", found["epochs"])


def test_a_line_an_epoch_unless_a_recipe_has_thousands(tmp_path, capsys):
    trained(tmp_path / "quiet")
    assert "Epoch" not in capsys.readouterr().out
    trained(tmp_path / "told", verbose=2)
    assert "Epoch 4/4" in capsys.readouterr().out
