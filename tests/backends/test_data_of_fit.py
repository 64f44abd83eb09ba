"""Which samples are behind each update of `FullBatch`, whatever `fit` takes its data from.

A linear model whose loss is the negative sum of its outputs counts them: the gradient by the weight of a one-hot sample
is -1 each time that the sample is in the sum, wherever the weights are. With a rate of 1, what an update changes of the
weights is how often each sample was in it. Under a mean it is that, divided by the number of samples.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import FullBatch
from custom_optimizers import BatchGD
from tests import small

BACKEND = keras.backend.backend()
N, BATCH = 18, 4  # four batches of 4, one of 2
BATCHES = -(-N // BATCH)
X, Y = np.eye(N, dtype="float32"), np.ones((N, 1), "float32")
GROWS, SHRINKS = (6, 11, N), (N, 11, 6)  # samples in each epoch

compiles = pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing and makes one step at a time")
of_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.data is of TensorFlow")
of_torch = pytest.mark.skipif(BACKEND == "tensorflow", reason="there is no torch beside TensorFlow here")
runs_out = pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras learns the number of batches by that


class MinusOutput(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return -ops.mean(y_true * y_pred, axis=-1)


class Looks(keras.callbacks.Callback):
    """The weights and the number of updates at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.updates = [np.zeros(N)], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights()[0].ravel().copy())
        self.updates.append(int(ops.convert_to_numpy(self.model.optimizer.iterations)))


def counted(data, epochs, *callbacks, full_batch=None, reduction="sum", compiled=False, per_execution=1, **more):
    """How much each sample counts in each epoch's change of the weights, `(epochs, N)`, and the updates after each."""
    model = keras.Sequential([keras.Input((N,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    options = {"run_eagerly": not (compiled or BACKEND == "jax")}  # where each operation alone is compiled too
    if per_execution > 1:
        options["steps_per_execution"] = per_execution
    if more.pop("jit_compile", False):
        options["jit_compile"] = True
    model.compile(BatchGD(1.0), MinusOutput(reduction=reduction), **options)
    looks = Looks()
    fit = {"shuffle": False, "verbose": 0, **more}
    model.fit(*data, epochs=epochs, callbacks=[full_batch or FullBatch(), looks, *callbacks], **fit)
    return np.diff(looks.weights, axis=0), looks.updates


def first(samples):
    return (np.arange(N) < samples).astype("float64")


def check(found, wanted, reduction="sum"):
    """One update in each epoch, of the samples that are wanted there, each as often as it is wanted."""
    changes, updates = found
    wanted = np.array(wanted)
    if reduction != "sum":
        wanted = wanted / wanted.sum(axis=1, keepdims=True)
    assert updates == list(range(1, len(wanted) + 1))
    assert changes.shape == wanted.shape
    for change, each in zip(changes, wanted, strict=True):
        assert np.linalg.norm(change - each) <= 1e-5 * np.linalg.norm(each)


# Datasets of Python, with and without workers


class Rows(keras.utils.PyDataset):
    """The first `samples` rows, in batches."""

    def __init__(self, samples=N, **options):
        super().__init__(**options)
        self.samples = samples

    def __len__(self):
        return -(-self.samples // BATCH)

    def __getitem__(self, index):
        rows = slice(BATCH * index, min(BATCH * (index + 1), self.samples))
        return X[rows], Y[rows]


class Resizes(keras.callbacks.Callback):
    """Gives the data another number of samples behind each epoch."""

    def __init__(self, data, sizes):
        super().__init__()
        self.data, self.sizes = data, sizes
        data.samples = sizes[0]

    def on_epoch_end(self, epoch, logs=None):
        self.data.samples = self.sizes[min(epoch + 1, len(self.sizes) - 1)]


PLAIN, TWO, SHORT, LONG = {}, {"workers": 2}, {"workers": 2, "max_queue_size": 2}, {"workers": 3, "max_queue_size": 50}
CONSTANT = (N, N, N)


def check_rows(workers, sizes, reduction="sum", **options):
    data = Rows(**workers)
    found = counted((data,), len(sizes), Resizes(data, sizes), reduction=reduction, **options)
    check(found, [first(samples) for samples in sizes], reduction)


ROWS = {  # workers, samples of each epoch, whether `fit` shuffles
    "grows": (PLAIN, GROWS, True),
    "shrinks": (PLAIN, SHRINKS, False),
    "workers": (TWO, CONSTANT, True),
    "workers in order": (SHORT, CONSTANT, False),
    "workers, grows": (TWO, GROWS, True),
    "workers, grows in order": (LONG, GROWS, False),
    "workers, shrinks": (LONG, SHRINKS, True),
    "workers, shrinks in order": (SHORT, SHRINKS, False),
    "constant": (PLAIN, CONSTANT, True),
    "a worker and a short queue": (SHORT, GROWS, True),
    "many batches ahead": (LONG, CONSTANT, True),
}


@pytest.mark.slow_cases("constant", "a worker and a short queue", "many batches ahead")
@pytest.mark.parametrize("case", ROWS)
def test_each_sample_is_in_each_update_once(case):
    """Also of data that change their length between epochs, and with workers, which prepare batches ahead."""
    workers, sizes, shuffle = ROWS[case]
    check_rows(workers, sizes, shuffle=shuffle)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning", "ignore:.*fork:DeprecationWarning")
def test_each_sample_is_in_each_update_once_with_processes():
    check_rows({**TWO, "use_multiprocessing": True}, GROWS, shuffle=True)


@compiles
@pytest.mark.slow_cases("sum-workers, shrinks", "mean-grows")
@pytest.mark.parametrize("case", ["grows", "workers, shrinks"])
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"], ids=["sum", "mean"])
def test_each_sample_is_in_each_update_once_when_compiled(case, reduction):
    workers, sizes, shuffle = ROWS[case]
    check_rows(workers, sizes, reduction, compiled=True, shuffle=shuffle)


class GrowsByItself(Rows):
    """Has one batch more behind each epoch, as Keras tells it of them."""

    def on_epoch_end(self):
        self.samples = min(self.samples + BATCH, N)


@pytest.mark.parametrize("workers", [PLAIN, TWO], ids=["alone", "workers"])
def test_data_that_grow_by_themselves(workers):
    data, sizes = GrowsByItself(3, **workers), []
    watches = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs=None: sizes.append(data.samples))
    check(counted((data,), 4, watches), [first(samples) for samples in sizes])
    assert sizes[0] < sizes[1] < sizes[2]


def test_data_of_another_length_in_the_next_fit():
    """A callback that has been in one `fit` follows the data of the next."""
    full_batch, data = FullBatch(), Rows()
    for samples in (N, 11):
        data.samples = samples
        found = counted((data,), 2, full_batch=full_batch)
        check(found, [first(samples)] * 2)


# Streams of batches, and steps that are told


def stream(batches=None):
    """All rows over and over, in batches; or so many batches of them."""
    for batch in range(batches or 10**6):
        yield Rows()[batch % BATCHES]


def of_batches(start, stop):
    """How often each sample is in some batches of the stream."""
    return sum(x.sum(axis=0) for x, _ in list(stream(stop))[start:stop])


@pytest.mark.parametrize("steps", [BATCHES, 3])
def test_a_stream_with_steps_per_epoch(steps):
    """A pass is that many batches, and the next one goes on behind them."""
    found = counted((stream(),), 3, steps_per_epoch=steps, reduction="sum_over_batch_size")
    check(found, [of_batches(steps * e, steps * (e + 1)) for e in range(3)], "sum_over_batch_size")


@runs_out
def test_a_stream_that_ends():
    check(counted((stream(BATCHES),), 1), [first(N)])


@compiles
@runs_out
def test_a_stream_that_ends_within_several_steps_at_once():
    check(counted((stream(BATCHES),), 1, per_execution=3, compiled=True), [first(N)])


@compiles
@pytest.mark.parametrize(("steps", "per_execution"), [(2, 4), (1, 4), (10, 4)])
def test_steps_at_once_that_do_not_divide_the_pass(steps, per_execution):
    """`fit` trains on more batches than it was told: one update of those that it was told, and one warning."""
    trained_on = -(-steps // per_execution) * per_execution
    with pytest.warns(UserWarning, match="more than the") as warned:
        found = counted((stream(),), 2, steps_per_epoch=steps, per_execution=per_execution, compiled=True)
    check(found, [of_batches(trained_on * e, trained_on * e + steps) for e in range(2)])
    messages = [str(each.message) for each in warned if each.category is UserWarning]
    assert len(messages) == 2  # one for each epoch
    for message in messages:
        assert f"more than the {steps} batches of the pass" in message
        assert "\n" not in message


@compiles
@pytest.mark.parametrize("per_execution", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_several_steps_at_once_of_data_that_grow(per_execution):
    """The last of them have fewer steps."""
    check_rows(TWO, GROWS, compiled=True, per_execution=per_execution)


# Data of the backends


def of_tf_data(known):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH)
    return data if known else data.filter(lambda x, y: True)


@of_tensorflow
@runs_out
@pytest.mark.slow_cases("unknown-4", "unknown-20", "known-3", "known-20", "known-1", "unknown-1")
@pytest.mark.parametrize("per_execution", [1, 2, 3, 4, 5, 20])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_several_steps_at_once_of_tf_data(known, per_execution):
    check(counted((of_tf_data(known),), 2, per_execution=per_execution, compiled=True), [first(N)] * 2)


@of_tensorflow
@runs_out
def test_tf_data_of_unknown_length_under_xla():
    found = counted((of_tf_data(False),), 2, compiled=True, reduction="sum_over_batch_size", jit_compile=True)
    check(found, [first(N)] * 2, "sum_over_batch_size")


def loader(kind, **options):
    """Of torch, with samples in any order; of known length, or an iterable."""
    import torch

    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    if kind == "known":
        return torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, **options)

    class Iterable(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter([data[i] for i in range(N)])

    return torch.utils.data.DataLoader(Iterable(), batch_size=BATCH, **options)


@of_torch
@runs_out
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"], ids=["sum", "mean"])
@pytest.mark.parametrize("kind", ["known", "iterable"])
def test_loaders_of_torch(kind, reduction):
    check(counted((loader(kind),), 2, reduction=reduction), [first(N)] * 2, reduction)


class Counts(Rows):
    """Says how often it was asked for a batch."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = 0

    def __getitem__(self, index):
        self.asked += 1
        return super().__getitem__(index)


CACHED = {"a data set": Counts, "workers": lambda: Counts(**TWO), "a generator": lambda: stream(BATCHES)}
if BACKEND == "tensorflow":
    CACHED |= {"tf.data": lambda: of_tf_data(True), "tf.data of unknown length": lambda: of_tf_data(False)}


@runs_out
@pytest.mark.parametrize("name", CACHED)
def test_data_that_are_cached_are_read_once(name):
    data = CACHED[name]()
    more = [Resizes(data, (N, 3, 11))] if isinstance(data, Counts) else []  # which is not looked at
    check(counted((data,), 3, *more, full_batch=FullBatch(cache=True)), [first(N)] * 3)
    if name == "a data set":
        assert data.asked <= BATCHES + 2  # Keras looks at the first one before


def test_cached_data_in_many_passes():
    model, full, (x, y) = (
        small.compiled(lambda: BatchGD(0.1)),
        FullBatch(passes_per_epoch=3, cache=True),
        small.samples(40),
    )
    generator = (each for each in [(x[:20], y[:20]), (x[20:], y[20:])])
    model.fit(generator, epochs=2, shuffle=False, verbose=0, callbacks=[full])
    other = small.compiled(lambda: BatchGD(0.1))
    other.fit(x, y, batch_size=20, epochs=6, shuffle=False, verbose=0, callbacks=[FullBatch()])
    np.testing.assert_allclose(small.flat(model), small.flat(other), atol=1e-6)


def test_what_cannot_be_cached():
    with pytest.raises(ValueError, match="`cache=True` is for data that are the same in each epoch"):
        counted((stream(),), 3, steps_per_epoch=2, full_batch=FullBatch(cache=True))
    with pytest.raises(ValueError, match="`cache` must be None, True or False"):
        FullBatch(cache="yes")


def test_arrays_with_steps_per_epoch_are_read_as_without_the_callback():
    """An epoch goes on where the one before has ended."""
    x, y = small.samples(40)
    model = small.compiled(lambda: BatchGD(0.1))
    model.fit(x, y, batch_size=10, steps_per_epoch=2, epochs=4, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert int(model.optimizer.iterations) == 4
    other = small.compiled(lambda: BatchGD(0.1))
    for start in (0, 20, 0, 20):
        other.train_on_batch(x[start : start + 20], y[start : start + 20])
    np.testing.assert_allclose(small.flat(model), small.flat(other), atol=1e-6)
