import keras
import numpy as np

from recipes.errors import Diverged

LOSSES = ("discriminator_loss", "generator_loss", "penalty")


class StopAtNaN(keras.callbacks.Callback):
    """Ends training at the first loss or weight that is not finite, before anything of it is saved.

    Put it before what saves.

    Raises:
        recipes.errors.Diverged: something is not finite; it names what and when.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        for name in LOSSES:
            if not np.isfinite(float(logs[name])):
                self._stop(f"the {_words(name)}", batch)

    def on_epoch_end(self, epoch, logs=None):
        for network in (self.model.generator, self.model.discriminator, self.model.average):
            if not all(np.isfinite(weight).all() for weight in network.get_weights()):
                self._stop(f"a weight of the {network.name}", self.params["steps"] - 1)

    def _stop(self, what, batch):
        raise Diverged(f"{what} is not finite in step {batch + 1} of epoch {self._epoch + 1}")


def _words(name):
    """`generator_loss` as "loss of the generator"."""
    player, _, is_loss = name.partition("_")
    return f"loss of the {player}" if is_loss else player
