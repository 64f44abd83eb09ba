import numpy as np
from keras import ops


class Passes:
    """Base class of the train functions of `fit` that make many passes, each with its update, in one call.

    A backend's class makes the passes in `__call__`, which `fit` calls once in an epoch, and leaves in `_traced` what
    `trace` reads.

    Args:
        model: compiled `keras.Model`.
        optimizer: `Descent` of the model, which makes one update a pass.
        count: int, the number of passes.
        prepare: function that is called before the passes with the number of micro-batches in each.
        counts: function from a batch, and whether it is the first of its pass, to `(weight, divisor)`, as
            `Windowed.micro_batch` takes them; None where the model's `train_step` does more than to count with them.
    """

    def __init__(self, model, optimizer, count, prepare, counts):
        self._model, self._optimizer, self._count = model, optimizer, count
        self._prepare, self._counts = prepare, counts
        self._batches = self._held = None
        self._made, self._traced = 0, {}  # of the last call: how many passes, and a tensor with a value of each by name

    @property
    def trace(self):
        """Of the passes of the last call: `loss`, and `gradient_norm` where norms are recorded; arrays."""
        made = int(self._made)
        return {name: np.asarray(ops.convert_to_numpy(values))[:made] for name, values in self._traced.items()}

    def held(self, epoch):
        """The batches of the next epoch as `hold` keeps them on the device.

        Args:
            epoch: `callbacks.inside_keras.Epoch`.

        Raises:
            ValueError: there are none.
        """
        batches = epoch.batches()
        if not batches:
            raise ValueError("FullBatch: there are no data in this epoch.")
        if batches is not self._batches:
            self._batches, self._held = batches, self.hold(batches)
        self._prepare(len(batches))
        return self._held

    def hold(self, batches):
        """What is kept of batches, a list of structures of tensors, for the passes over them."""
        raise NotImplementedError
