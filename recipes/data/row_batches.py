import keras

from recipes.machine.strategies import process


class RowBatches(keras.utils.PyDataset):
    """Batches of given rows of arrays, in a fixed order. If several processes train, each gets a share of every batch.

    Args:
        samples: structure of arrays.
        rows: sequence of int arrays, the rows of each batch over all processes.
        weights: sequence of float32 arrays `(rows of the batch, …)`, their sample weights.

    Example:

    >>> import numpy as np
    >>> from recipes.data.row_batches import RowBatches
    >>> x = np.arange(4) * 10
    >>> batches = RowBatches((x, -x), np.array([[0, 1], [2, 3]]), np.ones((2, 2), "float32"))
    >>> batches[1][0].tolist()
    [20, 30]
    """

    def __init__(self, samples, rows, weights):
        super().__init__()
        self.samples, self.rows, self.weights = samples, rows, weights

    @property
    def num_batches(self):
        return len(self.rows)

    @property
    def nbytes(self):
        """How much memory all batches take together, those of the other processes too."""
        return bytes_of(self.samples, self.rows, self.weights)

    def __getitem__(self, index):
        share = share_of_process(len(self.rows[index]))
        rows = self.rows[index][share]
        return *keras.tree.map_structure(lambda array: array[rows], self.samples), self.weights[index][share]


def bytes_of(samples, rows, weights):
    """How much memory batches of these rows and weights take together."""
    row = sum(array.nbytes // len(array) for array in keras.tree.flatten(samples))
    return sum(len(each) * row + weight.nbytes for each, weight in zip(rows, weights, strict=True))


def share_of_process(batch_size):
    """The slice of every batch that this process feeds to its devices."""
    number, count = process()
    each = batch_size // count
    return slice(number * each, (number + 1) * each)
