"""What is not finite ends the training of a GAN."""

import keras
import numpy as np
import pytest

from recipes.errors import Diverged
from recipes.gan import StopAtNaN


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
    callback = StopAtNaN()
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
    with pytest.raises(Diverged, match=f"^{words}$"):
        callback.on_train_batch_end(3, {**fine, name: value})


@pytest.mark.parametrize("network", ["generator", "discriminator", "average"])
def test_a_weight_that_is_not_finite(network):
    watched(Players()).on_epoch_end(1)
    with pytest.raises(
        Diverged,
        match=f"^a weight of the {network} is not finite in step 5 of epoch 2$",
    ):
        watched(Players(network)).on_epoch_end(1)
