import itertools
import os
import pathlib
import random
import re
import time

import keras
import ml_dtypes
import numpy as np
from keras import ops

from callbacks.arrays_file import read_arrays, write_arrays
from callbacks.object_only import object_only

# The attributes in which Keras's own callbacks remember something from epoch to epoch.
CARRIED = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "ModelCheckpoint": ("best",),
}


class StateError(ValueError):
    """A saved state is damaged, or is that of another model or optimizer."""


@object_only
class ExactResume(keras.callbacks.Callback):
    """Lets a `fit` that was killed go on in a new process, bit for bit as if it had not been killed.

    ```python
    before epoch e:  seed of random, numpy.random, torch = hash(seed, e);  follows.epoch = e
    after epoch e:   file = weights, layers' random states, optimizer, carried callbacks, logs of all epochs
    ```

    `keras.callbacks.BackupAndRestore` keeps weights and optimizer, but data and randomness start from the beginning,
    and what EarlyStopping and ReduceLROnPlateau have seen is forgotten. Here the same `fit` in a new process goes on
    after the last epoch that was saved; an epoch that was interrupted is done again from its beginning. On the same
    machine, with the same versions and with operations that give the same bits each time (those of TensorFlow on CPU
    do), weights, optimizer and logs end bit for bit as if nothing had happened.

    Layers that draw random numbers have to do so from a `keras.random.SeedGenerator` of their own, as those of Keras
    do; its state is in the file. (Reseeding TensorFlow would throw away its compiled kernels: 40 ms an epoch.) On
    torch, Keras's Dropout without a seed draws from torch's own generator, which is therefore seeded too, on all
    devices.

    Data have to come in an order that depends on the epoch alone: `recipes.data.ShuffledBatches` in `follows`,
    `recipes.data.full_batches`, or `shuffle=False`. Put this last in `callbacks`, so that it sees what the others did.

    The file is first written under another name and then moved to its place: a kill at any moment leaves the file that
    was there before or the new one.

    Args:
        path: str or path of the file, .npz. Its directory is made if it is not there.
        seed: int >= 0, from which all random numbers are derived.
        follows: data sets whose attribute `epoch` is set when an epoch begins.
        carry: callbacks of this `fit` whose state is saved too: `EarlyStopping`, `ReduceLROnPlateau`,
            `ModelCheckpoint`.
        every_seconds: float >= 0. After an epoch the state is saved only if the last save is that many seconds ago;
            after the first and the last epoch it is always saved.

    Attributes:
        history: list of dicts, the logs of every epoch since the first, those before the restart too. The history that
            `fit` returns has them all, too.
        seconds: list of floats, the duration of each of those epochs.

    Raises:
        ValueError: `path` does not end in .npz, or is a directory.
        StateError (a ValueError): the file is damaged, or belongs to another model or optimizer.

    A `fit` that finds the file says so in one line: with another learning rate or other data it goes on all the same.

    Example:

    >>> import os, tempfile, keras, numpy as np
    >>> from callbacks import ExactResume
    >>> path = os.path.join(tempfile.mkdtemp(), "state.npz")
    >>> def train(epochs):
    ...     model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    ...     model.compile("sgd", "mse")
    ...     resume = ExactResume(path, seed=0)
    ...     model.fit(np.ones((4, 3)), np.ones(4), epochs=epochs, shuffle=False, callbacks=[resume], verbose=0)
    ...     return len(resume.history)
    >>> train(epochs=2)
    2
    >>> train(epochs=5)  # doctest: +ELLIPSIS
    ExactResume: goes on after epoch 2, from ...state.npz; remove that file to begin anew.
    5
    """

    def __init__(self, path, seed=0, *, follows=(), carry=(), every_seconds=0.0):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".npz" or self.path.is_dir():
            raise ValueError(f"ExactResume: `path` must be that of a file that ends in .npz. Received: {path!s}")
        self.seed, self.follows, self.carry, self.every_seconds = seed, follows, carry, every_seconds
        for callback in carry:
            if _kind(callback) is None:
                raise ValueError(
                    f"ExactResume: `carry` takes {', '.join(CARRIED)}. Received: {type(callback).__name__}"
                )
        self.history, self.seconds, self._before = [], [], []
        self._saved = self._began = 0.0  # seconds of the monotonic clock

    def on_train_begin(self, logs=None):
        self.history, self.seconds, self._saved = [], [], 0.0
        if self.path.exists():
            self._restore()
            self.tell_restart()
        self._before = list(self.history)  # what `fit` has to begin its history with

    def tell_restart(self):
        """Print which state `fit` goes on from: it may be one that was forgotten."""
        done = self.history[-1]["epoch"] + 1
        print(f"ExactResume: goes on after epoch {done}, from {self.path}; remove that file to begin anew.", flush=True)

    def on_epoch_begin(self, epoch, logs=None):
        self.model._initial_epoch = None
        self._begin_history()
        self._began = time.perf_counter()
        seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        if keras.backend.backend() == "torch":
            import torch

            torch.manual_seed(seed)
        for data in self.follows:
            data.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._began)
        self.history.append({"epoch": epoch, **{name: _number(value) for name, value in (logs or {}).items()}})
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if last or not self._saved or time.perf_counter() - self._saved >= self.every_seconds:
            self.save()
            self._saved = time.perf_counter()

    def on_train_end(self, logs=None):
        self.model._initial_epoch = None
        self._begin_history()

    def _begin_history(self):
        """Give the history that `fit` returns the epochs before the restart; Keras empties it when a `fit` begins."""
        history, rows, self._before = self.model.history, self._before, []
        for row in rows:
            history.epoch.append(row["epoch"])
            for name, value in row.items():
                if name != "epoch":
                    history.history.setdefault(name, []).append(value)

    def save(self):
        """Write the state of training."""
        arrays = {f"variable_{i}": _plain(ops.convert_to_numpy(v)) for i, v in enumerate(self._variables())}
        carried = []
        for number, callback in enumerate(self.carry):
            state = {name: getattr(callback, name, None) for name in CARRIED[_kind(callback)]}
            weights = state.pop("best_weights", None)
            arrays |= {f"carried_{number}_{i}": _plain(np.asarray(w)) for i, w in enumerate(weights or [])}
            carried.append({name: _number(value) for name, value in state.items()})
        about = {
            "variables": self._described(),
            "history": self.history,
            "seconds": self.seconds,
            "stopped": bool(self.model.stop_training),
            "carried": carried,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(self.path, about, arrays)

    def _restore(self):
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        about, arrays = read_state(self.path)
        self._check(about, arrays)
        for i, variable in enumerate(self._variables()):
            variable.assign(arrays[f"variable_{i}"].view(_numpy_type(variable.dtype)))
        for number, (callback, state) in enumerate(zip(self.carry, about["carried"], strict=True)):
            vars(callback).update(state)
            weights = [name for name in arrays if name.startswith(f"carried_{number}_")]
            if weights:
                callback.best_weights = [
                    arrays[f"carried_{number}_{i}"].view(np.asarray(w).dtype)
                    for i, w in enumerate(self.model.get_weights())
                ]
        self.history, self.seconds = about["history"], about["seconds"]
        self.model._initial_epoch = self.params["epochs"] if about["stopped"] else self.history[-1]["epoch"] + 1
        self._saved = time.perf_counter()

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _described(self):
        return [[v.name, list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in self._variables()]

    def _check(self, about, arrays):
        mine = self._described()
        if len(about["carried"]) != len(self.carry):
            raise StateError(f"{self.path} was made with {len(about['carried'])} callbacks in `carry`.")
        for callback, state in zip(self.carry, about["carried"], strict=True):
            if state.keys() != set(CARRIED[_kind(callback)]) - {"best_weights"}:
                raise StateError(f"{self.path} was made with other callbacks in `carry` than {_kind(callback)}.")
        pairs = itertools.zip_longest(about["variables"], mine)
        different = next((pair for pair in pairs if not _alike(*pair)), None)
        if different is not None:
            there, here = different
            raise StateError(
                f"{self.path} was made with another model, optimizer or callbacks: it has {_words(there)} where there "
                f"is {_words(here)} now; remove it to begin anew."
            )
        for i, (_, shape, dtype) in enumerate(mine):
            self._check_array(arrays, f"variable_{i}", shape, dtype)
        for number in range(len(self.carry)):
            if any(name.startswith(f"carried_{number}_") for name in arrays):
                for i, weight in enumerate(self.model.get_weights()):
                    self._check_array(arrays, f"carried_{number}_{i}", list(weight.shape), weight.dtype)

    def _check_array(self, arrays, name, shape, dtype):
        array = arrays.get(name)
        if array is None or list(array.shape) != shape or array.itemsize != np.dtype(_numpy_type(dtype)).itemsize:
            raise StateError(f"{self.path} is damaged ({name}); remove it to start from the beginning.")


def read_state(path):
    """The contents of a file that `ExactResume` wrote.

    Returns:
        `(about, arrays)`, two dicts; `about["history"]` has the logs of every epoch.

    Raises:
        StateError (a ValueError): the file is damaged.
    """
    try:
        about, arrays = read_arrays(path)
        if not _is_about(about):
            raise ValueError("it does not describe its arrays")
    except ValueError as error:
        raise StateError(f"{os.fspath(path)} is damaged ({error}); remove it to start from the beginning.") from error
    return about, arrays


def _is_about(about):
    parts = {"variables": _is_variable, "history": _is_row, "seconds": _is_number, "carried": _is_carried}
    lists = all(isinstance(about.get(name), list) and all(map(is_one, about[name])) for name, is_one in parts.items())
    return lists and len(about["history"]) == len(about["seconds"]) > 0 and isinstance(about.get("stopped"), bool)


def _is_variable(described):
    """Whether that is a name, a shape and a dtype."""
    if not isinstance(described, list) or [type(each) for each in described] != [str, list, str]:
        return False
    return all(type(size) is int for size in described[1])


def _is_row(logs):
    return isinstance(logs, dict) and type(logs.get("epoch")) is int and 0 <= logs["epoch"] < 2**53


def _is_number(value):
    """Whether that is a number, and no integer too large for a float."""
    return type(value) is float or (type(value) is int and abs(value) < 2**53)


def _is_carried(state):
    return isinstance(state, dict) and all(value is None or _is_number(value) for value in state.values())


def is_carried(callback):
    """Whether a callback is one whose state `ExactResume` can save."""
    return _kind(callback) is not None


def _kind(callback):
    return next((cls.__name__ for cls in type(callback).__mro__ if cls.__name__ in CARRIED), None)


def _numpy_type(dtype):
    name = keras.backend.standardize_dtype(dtype)
    return getattr(ml_dtypes, name, None) or np.dtype(name)  # bfloat16 and float8 are no types of NumPy


def _plain(array):
    """An array with the same bits, of a type that .npz files can hold: they cannot hold bfloat16 and float8."""
    return array.view(f"u{array.itemsize}") if array.dtype.kind == "V" else array


def _number(value):
    """A log, or a part of a callback's state, as a value that JSON can hold."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array.tolist()


def _alike(there, here):
    """Whether two descriptions are of the same variable, but for the numbers that Keras gives to layers in names."""
    if there is None or here is None:
        return there is here
    return there[1:] == here[1:] and re.sub(r"_\d+", "", there[0]) == re.sub(r"_\d+", "", here[0])


def _words(description):
    return "nothing" if description is None else "{} {} {}".format(*description)
