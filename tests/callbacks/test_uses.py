"""Inputs of TensorFlow that are no plain arrays, micro-batches of data with known shapes, and threads."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from callbacks import FullBatch
from custom_optimizers import BatchGD
from tests.backends.test_uses import (
    BATCH,
    MICRO_BATCHES,
    MOMENTUM,
    RATE,
    UPDATES,
    BySize,
    N,
    X,
    Y,
    check_heads,
    error,
    heads,
    some_without_gradient,
)
from tests.small import flat

RNG = np.random.default_rng(0)
WORDS = np.array([" ".join(RNG.choice(list("abcdefg"), 4)) for _ in range(N)])
RARE = np.where(RNG.random((N, 12)) < 0.3, 1, 0).astype("float32")
LENGTHS = np.arange(N) % 4 + 1


def of_strings():
    words = layers.TextVectorization(vocabulary=list("abcdefg"), output_sequence_length=4)
    return keras.Sequential(
        [keras.Input((), dtype="string"), words, layers.Embedding(9, 3), layers.Flatten(), layers.Dense(2)]
    )


def of_sparse():
    inputs = keras.Input((12,), sparse=True)
    return keras.Model(inputs, layers.Dense(2)(inputs))


def of_ragged():
    inputs = keras.Input((None,), ragged=True)
    sums = layers.Lambda(lambda rows: tf.reduce_sum(rows, axis=1, keepdims=True), output_shape=(1,))(inputs)
    return keras.Model(inputs, layers.Dense(2)(sums))


INPUTS = {
    "strings": (of_strings, lambda: WORDS),
    "sparse": (of_sparse, lambda: tf.sparse.from_dense(RARE)),
    "ragged": (
        of_ragged,
        lambda: tf.RaggedTensor.from_row_lengths(np.arange(LENGTHS.sum(), dtype="float32") % 3 - 1, LENGTHS),
    ),
}


@pytest.mark.filterwarnings("ignore:The structure of `inputs` doesn't match")
@pytest.mark.parametrize("name", INPUTS)
def test_inputs_that_are_no_plain_arrays(name):
    network, x = INPUTS[name]
    data, models = tf.data.Dataset.from_tensor_slices((x(), Y)), []
    for optimizer, size, callbacks in ((BatchGD, BATCH, [FullBatch()]), (keras.optimizers.SGD, N, [])):
        keras.utils.set_random_seed(1)
        model = network()
        start = [w for w in model.get_weights() if w.dtype.kind == "f"]
        model.compile(optimizer(RATE, MOMENTUM), "mse")
        model.fit(data.batch(size), epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        models.append(model)
    assert error(*models, np.concatenate([w.ravel() for w in start])) < 1e-5


def test_an_update_of_two_fits_over_data_of_known_shapes():
    """Each size is traced by itself, and its step feeds other variables of the sum that the update is made of."""
    model, optimizer = heads(BySize)
    optimizer.gradient_accumulation_steps = 2
    before = model.get_weights()
    model.compile(optimizer, "mse", jit_compile=False)
    with some_without_gradient():
        for rows in MICRO_BATCHES:
            data = tf.data.Dataset.from_tensor_slices((X[rows], Y[rows, :1]))
            model.fit(data.batch(len(rows), drop_remainder=True), shuffle=False, verbose=0)
    check_heads(model, before, UPDATES)


def test_two_fits_in_two_threads_leave_losses_alone():
    """The second looks at its loss from before the first has looked at its own until after that has ended."""
    events = {name: threading.Event() for name in ("first is looking", "second is looking", "first has ended")}
    waits = {
        "first": ("first is looking", "second is looking"),
        "second": ("second is looking", "first has ended"),
    }
    call, found = keras.losses.Loss.__call__, {}

    def fit(name):
        def loss(true, predicted):
            mine, other = waits[name]
            if not events[mine].is_set():
                events[mine].set()
                assert events[other].wait(60)
            return keras.ops.mean(keras.ops.square(true - predicted), axis=-1)

        model = keras.Sequential([keras.Input((3,)), layers.Dense(2, kernel_initializer="ones")])
        model.compile(BatchGD(RATE), loss, run_eagerly=True)
        if name == "second":
            assert events["first is looking"].wait(60)
        model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[FullBatch()])
        if name == "first":
            events["first has ended"].set()
        found[name] = flat(model)

    threads = [threading.Thread(target=fit, args=(name,)) for name in waits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left, keras.losses.Loss.__call__ = keras.losses.Loss.__call__, call
    assert left is call
    np.testing.assert_array_equal(found["first"], found["second"])
