"""What watches a GAN: the best is kept, a collapse is told, and what is not finite ends training."""

import keras
import numpy as np
import pytest

from recipes.errors import WorldError
from recipes.gan.judge import labels_in_turn
from recipes.gan.judged import Judged
from recipes.gan.stop_at_nan import StopAtNaN
from recipes.report.grid import grid


class Verdicts:
    """A judge that says what it is told to, one after the other."""

    def __init__(self, *verdicts, class_entropy=1.0):
        self.verdicts, self.class_entropy = iter(verdicts), class_entropy

    def distances(self, gan):
        distance, entropy = next(self.verdicts)
        return {"distance": distance, "class_entropy": entropy}


def judged(verdicts, every=1, history=(), class_entropy=1.0):
    """`(epochs after which the model was kept, logs)` of as many epochs."""
    kept, rows = [], list(history)
    epochs = every * len(verdicts)
    judge = Verdicts(*verdicts, class_entropy=class_entropy)
    callback = Judged(judge, every, lambda: rows, lambda model: kept.append(len(rows)))
    callback.set_params({"epochs": epochs})
    for epoch in range(epochs):
        logs = {"generator_loss": 0.0}
        callback.on_epoch_end(epoch, logs)
        rows.append(logs)
    return kept, rows


def test_the_best_is_kept_and_never_something_worse():
    assert judged([(3.0, 1.0), (4.0, 1.0), (2.0, 1.0), (2.0, 1.0)])[0] == [0, 2]
    assert judged([(3.0, 1.0), (1.0, 1.0)], history=[{"distance": 2.0, "class_entropy": 1.0}])[0] == [2]
    kept, rows = judged([(3.0, 1.0), (2.0, 1.0)], every=3)
    assert (kept, ["distance" in row for row in rows]) == ([2, 5], [False, False, True] * 2)


def test_a_collapse_is_told_once(capsys):
    judged([(3.0, 0.9), (4.0, 0.2), (4.0, 0.1), (4.0, 0.8), (4.0, 0.3)])
    told = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(told) == 2
    assert "after epoch 2 the generator leaves out classes (entropy 20%" in told[0]
    assert "after epoch 5" in told[1]


def test_classes_that_are_rare_in_the_training_images_are_no_collapse(capsys):
    judged([(3.0, 0.3), (4.0, 0.1)], class_entropy=0.29)
    assert [line.split(" the ")[0] for line in capsys.readouterr().out.split("\n") if line] == [
        "Collapse: after epoch 2"
    ]


class Players(keras.Model):
    """Stands for a GAN whose networks have a weight each."""

    def __init__(self, broken=None):
        super().__init__()
        for name in ("generator", "discriminator", "average"):
            network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)], name=name)
            if name == broken:
                network.set_weights([np.full((1, 1), np.nan), np.zeros(1)])
            setattr(self, name, network)


def watched(model):
    callback = StopAtNaN("runs/here", lambda: 1)
    callback.set_model(model)
    callback.set_params({"epochs": 2, "steps": 5})
    callback.on_epoch_begin(1)
    return callback


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("generator_loss", "the loss of the generator is not finite in step 4 of epoch 2"),
        ("discriminator_loss", "the loss of the discriminator is not finite in step 4 of epoch 2"),
        ("penalty", "the penalty is not finite in step 4 of epoch 2"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(name, words, value):
    fine = {"generator_loss": 1.0, "discriminator_loss": 1.0, "penalty": 0.0}
    callback = watched(Players())
    callback.on_train_batch_end(2, fine)
    with pytest.raises(WorldError, match=words):
        callback.on_train_batch_end(3, {**fine, name: value})


@pytest.mark.parametrize("network", ["generator", "discriminator", "average"])
def test_a_weight_that_is_not_finite(network):
    watched(Players()).on_epoch_end(1)
    with pytest.raises(
        WorldError,
        match=f"a weight of the {network} is not finite in step 5 of epoch 2.*runs/here keeps the state after epoch 1$",
    ):
        watched(Players(network)).on_epoch_end(1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_grid_has_every_image_in_its_place(channels, mode):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, channels), dtype="uint8")
    picture = grid(images, columns=3)
    assert (picture.mode, picture.size) == (mode, (48, 24))
    pixels = np.asarray(picture).reshape(24, 48, channels)[::2, ::2]
    assert np.array_equal(pixels[6:10, 8:14], images[4])
    assert (pixels[6:, 16:] == 64).all()
    assert (pixels[4:6] == 64).all()
    assert grid(images).size == (48, 24)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([3, 3], [0, 1, 0, 1, 0, 1]),
        ([10, 11], [k % 2 for k in range(21)]),  # nearly alike
        ([1, 3], [1, 0, 1, 1]),
        ([0, 2], [1, 1]),
    ],
)
def test_labels_are_alike_or_as_often_as_in_the_images(counts, expected):
    assert labels_in_turn(np.repeat(range(len(counts)), counts), len(counts)).tolist() == expected
