import keras
import numpy as np

from custom_optimizers.diagnostics import GIVE_UP_AFTER
from recipes.errors import Diverged


class StopAtNaN(keras.callbacks.Callback):
    """Ends training at the end of the first epoch with a loss or a weight that is not finite.

    List it before the callbacks that save something, so that nothing of that epoch is saved, and after
    `GradientMonitor`, whose record of skipped updates it reads.

    Raises:
        recipes.errors.Diverged: training has diverged; it names what is not finite, and the epoch.
    """

    def on_epoch_end(self, epoch, logs=None):
        check_finite(self.model, logs or {}, epoch)


def check_finite(model, logs, epoch):
    """Raise `Diverged` if training has diverged by the end of an epoch.

    Args:
        model: `keras.Model`.
        logs: dict of the epoch. The losses in it are `loss` and what ends in `_loss`, such as `generator_loss`. That of
            the validation part does not count: while the averages of batch normalisation are those of few batches it
            may be anything, and come down later.
        epoch: int, from 0.
    """
    for name, value in logs.items():
        if _is_trained(name) and not np.isfinite(value).all():
            raise Diverged(f"the {name.replace('_', ' ')} is not finite in epoch {epoch + 1}")
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise Diverged(f"a weight is not finite after epoch {epoch + 1}")
    skipped = _skipped_in_a_row(model.optimizer)
    if skipped >= GIVE_UP_AFTER:
        raise Diverged(f"the gradient was not finite {skipped} times in a row, up to epoch {epoch + 1}")


def _is_trained(name):
    """Whether a log of that name is a loss that is minimised."""
    return (name == "loss" or name.endswith("_loss")) and not name.startswith("val_")


def _skipped_in_a_row(optimizer):
    """How many updates an optimizer of `custom_optimizers` has left out last, because of their gradients."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # loss scaling may have wrapped it
    read = getattr(inner, "read_diagnostics", dict)
    return read().get("skipped_in_a_row", 0)
