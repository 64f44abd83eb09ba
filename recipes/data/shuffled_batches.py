import itertools

import keras
import numpy as np

from custom_optimizers.arguments import flag
from recipes.data.full_batches import shared_evenly
from recipes.data.row_batches import share_of_process
from recipes.data.without_autotune import without_autotune
from recipes.machine.strategies import replicas

THREADS = 4  # threads that make batches while training goes on


class ShuffledBatches(keras.utils.PyDataset):
    """Batches in an order that depends on the seed and the epoch alone.

    ```python
    order = numpy.random.default_rng([seed, epoch]).permutation(n)
    batch i = samples order[i * batch_size : (i + 1) * batch_size], augmented for this epoch
    ```

    So a run that goes on at epoch 7 gets the same batches there as a run that was not interrupted. `fit` does not tell
    a data set which epoch it is: `callbacks.ExactResume` does, or code that sets `epoch`. On TensorFlow, `dataset`
    gives the same batches faster, since `fit` spends 40 ms at the beginning of each epoch of a `PyDataset`.

    Where several devices share a batch, all batches have one shape and a third part, sample weights. Repeated rows fill
    the last batch; their weights are 0, and the other weights make its mean that of the real rows. So the gradients are
    those of one device, except for batch normalisation. The training loss that `fit` logs counts the last batch as a
    whole one. Compile with `weighted_metrics=`.

    Args:
        x: array of `n` samples.
        y: array of `n` targets.
        batch_size: int >= 1, over all devices; on one device, the last batch may be smaller.
        seed: int >= 0.
        augmentation: `recipes.data.Augmentation` of the images `x`, `(n, height, width, channels)`; None for no
            changes.
        drop_remainder: bool. Leave out the last batch of an epoch where it would be smaller; its samples differ from
            epoch to epoch.

    Raises:
        ValueError: the devices cannot share a batch evenly, `n < batch_size` with `drop_remainder`, or what
            `Augmentation` raises.

    Example:

    >>> import numpy as np
    >>> from recipes.data import ShuffledBatches
    >>> batches = ShuffledBatches(np.arange(5), np.arange(5), batch_size=2, seed=0)
    >>> batches.epoch = 7
    >>> [x.tolist() for x, _ in batches]
    [[0, 4], [3, 2], [1]]
    """

    def __init__(self, x, y, batch_size, seed, augmentation=None, drop_remainder=False):
        super().__init__()
        self.x, self.y, self.seed = x, y, seed
        self.is_shared = replicas() > 1
        self.batch_size = shared_evenly("ShuffledBatches", batch_size, replicas(), len(x))
        self.drop_remainder = flag("ShuffledBatches", "drop_remainder", drop_remainder)
        if drop_remainder and batch_size > len(x):
            raise ValueError(
                f"ShuffledBatches: `batch_size` must be at most {len(x)}, the number of samples, with "
                f"`drop_remainder=True`. Received: batch_size={batch_size}"
            )
        is_augmented = augmentation is not None and not augmentation.changes_nothing
        self._augmented = augmentation.of(x) if is_augmented else None
        self.epoch = 0

    @property
    def epoch(self):
        """The epoch whose batches are given, an int from 0. It can be set."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch):
        self._epoch = epoch
        self._order = self._order_of(epoch)

    @property
    def num_batches(self):
        n = len(self.x)
        return n // self.batch_size if self.drop_remainder else -(-n // self.batch_size)

    def __getitem__(self, index):
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        if not self.is_shared:
            return self._images(rows), self.y[rows]
        share = share_of_process(self.batch_size)
        filled = np.resize(rows, self.batch_size)[share]
        return self._images(filled), self.y[filled], self._weights()[index][share]

    def endless(self, first_epoch=0):
        """The batches of one epoch after another, without end, for `fit(..., steps_per_epoch=batches.num_batches)`.

        Args:
            first_epoch: int >= 0, where to begin.

        Returns:
            `dataset` on TensorFlow, a generator of the same batches elsewhere.
        """
        if keras.backend.backend() == "tensorflow":
            return self.dataset(first_epoch)
        return self._one_after_another(first_epoch)

    def _one_after_another(self, first_epoch):
        for epoch in itertools.count(first_epoch):
            self.epoch = epoch
            yield from (self[index] for index in range(self.num_batches))

    def dataset(self, first_epoch=0):
        """The batches of one epoch after another, without end, for `fit(..., steps_per_epoch=batches.num_batches)`.

        Args:
            first_epoch: int >= 0, where to begin.

        Returns:
            A `tf.data.Dataset`.
        """
        import tensorflow as tf

        epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
        batches = epochs.flat_map(self._rows_of).map(self._gather(), THREADS, deterministic=True)
        return without_autotune(batches.prefetch(2))

    def _rows_of(self, epoch):
        """The arguments of `_gather` for each batch of an epoch: rows, the epoch if images are augmented, weights."""
        import tensorflow as tf

        order = tf.ensure_shape(tf.numpy_function(self._order_of, [epoch], tf.int64), [len(self.x)])
        rows = tf.data.Dataset.from_tensor_slices(order).batch(self.batch_size, self.drop_remainder)
        parts = [rows.map(self._filled) if self.is_shared else rows]
        if self._augmented is not None:
            parts.append(tf.data.Dataset.from_tensors(epoch).repeat())
        if self.is_shared:
            parts.append(tf.data.Dataset.from_tensor_slices(self._weights()))
        return tf.data.Dataset.zip(*parts) if len(parts) > 1 else rows

    def _gather(self):
        """A function on TensorFlow that makes `(x, y)` or `(x, y, weights)` from the parts of `_rows_of`."""
        import tensorflow as tf

        y = tf.convert_to_tensor(self.y)

        def augment(rows, epoch, *weights):
            return self._augment(rows, epoch), tf.gather(y, rows), *weights

        def gather(rows, *weights):
            return tf.gather(x, rows), tf.gather(y, rows), *weights

        if self._augmented is not None:
            return augment
        x = tf.convert_to_tensor(self.x)
        return gather

    def _augment(self, rows, epoch):
        """`_augmented(rows, epoch)` on TensorFlow."""
        import tensorflow as tf

        images = tf.numpy_function(self._augmented, [rows, epoch], self.x.dtype, stateful=False)
        return tf.ensure_shape(images, [rows.shape[0], *self.x.shape[1:]])

    def _images(self, rows):
        return self.x[rows] if self._augmented is None else self._augmented(rows, self.epoch)

    def _order_of(self, epoch):
        return np.random.default_rng([self.seed, int(epoch)]).permutation(len(self.x))

    def _filled(self, rows):
        """`numpy.resize(rows, batch_size)` on TensorFlow."""
        import tensorflow as tf

        places = tf.range(self.batch_size) % tf.shape(rows)[0]
        return tf.ensure_shape(tf.gather(rows, places), [self.batch_size])

    def _weights(self):
        """Sample weights of every batch of an epoch, `(num_batches, batch_size, 1)`."""
        real = min(len(self.x) - (self.num_batches - 1) * self.batch_size, self.batch_size)  # rows of the last batch
        weights = np.ones((self.num_batches, self.batch_size, 1), np.float32)
        weights[-1] = (np.arange(self.batch_size) < real)[:, None] * self.batch_size / real
        return weights
