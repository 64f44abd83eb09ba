"""What is not finite ends a training at the end of its epoch, whatever the recipe."""

import keras
import numpy as np
import pytest

from recipes.errors import Diverged
from recipes.training.stop_at_nan import StopAtNaN, check_finite


def model_of(weight=1.0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.set_weights([np.full((1, 1), weight), np.zeros(1)])
    return model


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loss", "the loss"),
        ("generator_loss", "the generator loss"),
        ("discriminator_loss", "the discriminator loss"),
    ],
)
def test_a_loss_that_is_not_finite(name, words, value):
    model, fine = model_of(), {"loss": 1.0, "val_loss": 2.0, "accuracy": 0.5}
    check_finite(model, fine, 2)
    with pytest.raises(Diverged, match=f"^{words} is not finite in epoch 3$"):
        check_finite(model, {**fine, name: value}, 2)


def test_what_is_not_minimised_may_be_what_it_is():
    nan = float("nan")
    check_finite(model_of(), {"loss": 1.0, "val_loss": nan, "val_head_loss": nan, "gloss": nan, "loss_scale": nan}, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite(value):
    with pytest.raises(Diverged, match=r"^a weight is not finite after epoch 1$"):
        check_finite(model_of(value), {"loss": 1.0}, 0)


class Seen(keras.callbacks.Callback):
    """Stands for a callback that saves something."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


def test_fit_ends_with_the_epoch_and_callbacks_behind_it_see_those_before():
    """The weight is multiplied by 1 - 2 * 1e19 at each update, until float32 ends."""
    model, seen = model_of(), Seen()
    model.compile(keras.optimizers.SGD(1e19), "mse")
    x = np.ones((4, 1))
    with pytest.raises(Diverged, match=r"^the loss is not finite in epoch 2$"):
        model.fit(x, np.zeros((4, 1)), epochs=9, batch_size=4, verbose=0, callbacks=[StopAtNaN(), seen])
    assert seen.epochs == [0]
