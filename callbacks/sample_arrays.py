import keras
import numpy as np
from keras import ops


class SampleArrays:
    """Arrays with a sample in each row, or lists and dictionaries of them for models with several inputs or outputs.

    Args:
        owner: str, the callback that asks; its name stands in messages.
        *data: what `fit` takes as `x` or `y`; None stays None.

    Raises:
        ValueError: there are no samples, or the arrays have different numbers of samples.
    """

    def __init__(self, owner, *data):
        self._data = [_arrays(each) for each in data]
        leaves = [leaf for leaf in keras.tree.flatten(self._data) if leaf is not None]
        numbers = list(dict.fromkeys(len(leaf) if leaf.ndim else 0 for leaf in leaves))
        if len(numbers) > 1:
            raise ValueError(
                f"{owner}: the arrays have {' and '.join(map(str, numbers))} samples; give as many in each"
            )
        self._number = numbers[0] if numbers else 0
        if self._number == 0:
            raise ValueError(f"{owner}: there are no samples; give arrays with a sample in each row")

    def __len__(self):
        return self._number

    def part(self, start, stop):
        """The samples from `start` to `stop` as tensors, in a list with an entry for each of `data`."""
        return keras.tree.map_structure(lambda leaf: None if leaf is None else _tensor(leaf[start:stop]), self._data)


def _arrays(data):
    """The same structure with NumPy arrays in it. Nested lists of plain numbers are one array."""
    leaves = keras.tree.flatten(data)
    if leaves and all(np.isscalar(leaf) for leaf in leaves):
        return np.asarray(data)
    return keras.tree.map_structure(_array, data)


def _array(leaf):
    if leaf is None:
        return None
    return ops.convert_to_numpy(leaf) if ops.is_tensor(leaf) else np.asarray(leaf)


def _tensor(array):
    """An array as a tensor; floats in the precision that `fit` gives them."""
    is_float = array.dtype.kind in "fV"  # V: bfloat16, which NumPy does not know
    return ops.convert_to_tensor(array, dtype=keras.config.floatx() if is_float else None)
