"""One `fit` that is recorded, resumed, made in parts, and ended by what is not finite."""

import re

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


@pytest.mark.parametrize(("epoch", "said"), [(1, "the loss is not finite in epoch 3"), (3, "a weight is .* epoch 4")])
def test_weights_that_are_not_finite_end_it_at_the_end_of_an_epoch(tmp_path, epoch, said):
    _, found, _ = trained(tmp_path, callbacks=[Breaks(epoch)])
    assert (found["outcome"], found["epochs"]) == ("diverged", epoch + 1)
    assert re.fullmatch(said, found["reason"])
    rows = rows_of(tmp_path / "metrics.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(epoch + 1))
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())


WILD = {  # recipes whose loss grows beyond all numbers, and in which epoch
    "mini-batches": (LinearRegression(epochs=9, batch_size=20, learning_rate=10.0), 3),
    "full batches": (ScansMLP(width=8, depth=1, train_images=60, epochs=9, learning_rate=5e37, clipping="none"), 2),
    "an optimizer of Keras": (
        ScansMLP(width=8, depth=1, train_images=60, epochs=9, optimizer="sgd", learning_rate=1e37, clipping="none"),
        2,
    ),
    "early stopping": (
        ScansMLP(
            **{"width": 8, "depth": 1, "train_images": 60, "epochs": 9, "keep": "best", "early_stopping": 3},
            **{"learning_rate": 9e37, "clipping": "none", "schedule": "constant"},
        ),
        2,
    ),
}


@pytest.mark.parametrize("name", WILD)
def test_every_recipe_ends_in_the_epoch_in_which_the_loss_is_not_finite(tmp_path, name):
    recipe, epoch = WILD[name]
    _, found, _ = trained(tmp_path, recipe, verbose=0)
    assert re.fullmatch(f"(the loss|a weight) is not finite (in|after) epoch {epoch}", found["reason"])
    assert (found["outcome"], found["epochs"]) == ("diverged", epoch - 1)
    rows = (tmp_path / "metrics.csv").read_bytes()
    _, again, _ = trained(tmp_path, recipe, verbose=0)  # from what was saved before
    assert {**again, "training_seconds": None} == {**found, "training_seconds": None}
    assert (tmp_path / "metrics.csv").read_bytes() == rows


class Stops(keras.callbacks.Callback):
    """Stands for any callback that ends a training, such as `StopOnConvergence`."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


def test_a_callback_may_end_it_early(tmp_path):
    _, found, _ = trained(tmp_path, callbacks=[Stops()])
    assert (found["outcome"], found["epochs"], found["updates"]) == ("stopped early", 2, 10)


def test_gradients_that_are_skipped_end_it_though_the_loss_is_finite(tmp_path, monkeypatch):
    recipe = ScansMLP(width=8, depth=1, train_images=60, epochs=9)
    monkeypatch.setattr(keras.Model, "compute_loss", without_gradient(keras.Model.compute_loss))
    _, found, _ = trained(tmp_path, recipe, verbose=0)
    assert (found["outcome"], found["epochs"], found["updates"]) == ("diverged", 4, 0)
    assert found["reason"] == "the gradient was not finite 5 times in a row, up to epoch 5"


def without_gradient(compute_loss):
    """A loss with 0 added to it whose slope is infinite."""

    def changed(model, *arguments, **options):
        loss = compute_loss(model, *arguments, **options)
        return loss + keras.ops.sqrt(0.0 * keras.ops.sum(model.trainable_weights[0].value))

    return changed


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
        with pytest.raises(WorldError, match=r"state\.npz was made with another model, optimizer or callbacks"):
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


def test_a_line_an_epoch_or_nothing(tmp_path, capsys):
    trained(tmp_path / "told", verbose=2)
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"epoch {number}/4" for number in (1, 2, 3, 4)
    ]
    trained(tmp_path / "quiet", verbose=0)
    assert capsys.readouterr().out == ""
