"""Two devices of TensorFlow, where the last batch of each pass leaves one of them without a sample."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, optimizers

from callbacks import BlockGradient, FullBatch
from custom_optimizers import Accumulate, BatchGD, Lookahead
from tests.small import flat, relative, scope

N, BATCH = 17, 8  # two batches of 8, four samples on each device, and one of a single sample
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 3)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
WEIGHTS = RNG.uniform(0.2, 3, N).astype("float32")


def network(regularizer=None):
    keras.utils.set_random_seed(1)
    dense = [layers.Dense(4, "tanh", kernel_regularizer=regularizer), layers.Dense(2)]
    return keras.Sequential([keras.Input((3,)), *dense])


def on_two(
    optimizer, *callbacks, make=network, data=(X, Y), loss="mse", epochs=2, weights=None, batch=BATCH, **options
):
    """The weights that `fit` on two devices leaves."""
    with scope(2):
        model = make()
        model.compile(optimizer(), loss, **options)
    size = None if isinstance(data[0], tf.data.Dataset) else batch
    model.fit(
        *data,
        sample_weight=weights,
        batch_size=size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return flat(model)


def at_once(optimizer, make=network, data=(X, Y), loss="mse", updates=2, weights=None):
    """The weights after updates on one device, each on all samples at once."""
    model = make()
    model.compile(optimizer(), loss, run_eagerly=True)
    for _ in range(updates):
        model.train_on_batch(*data, sample_weight=weights)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return flat(model)


def error(ours, whole, make=network):
    """The relative difference of what training has changed."""
    start = flat(make())
    return relative(ours - start, whole - start)


def regular():
    return network(keras.regularizers.L2(0.05))


def batch_gd():
    return BatchGD(0.1, momentum=0.9)


def sgd():
    return optimizers.SGD(0.1, momentum=0.9)


@pytest.mark.slow_cases("mean_with_sample_weight-unweighted", "sum-weighted", "sum_over_batch_size-unweighted")
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_every_reduction_with_regularisers(reduction, weights):
    rate = 0.1 / N if reduction == "sum" else 0.1
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    ours = on_two(lambda: BatchGD(rate), FullBatch(), make=regular, loss=loss, weights=weights)
    assert error(ours, at_once(lambda: optimizers.SGD(rate), regular, loss=loss, weights=weights)) < 1e-5


AVERAGE = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}
OPTIMIZERS = {  # ours, and what it equals on one device
    "Adam": (lambda: Accumulate(optimizers.Adam(0.01)), lambda: optimizers.Adam(0.01)),
    "Lookahead": (lambda: Lookahead(batch_gd(), sync_period=2), lambda: Lookahead(batch_gd(), sync_period=2)),
    "moving average": (lambda: BatchGD(0.1, **AVERAGE), lambda: optimizers.SGD(0.1, **AVERAGE)),
}


@pytest.mark.slow_cases("Lookahead")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_other_optimizers(name):
    ours, theirs = OPTIMIZERS[name]
    assert error(on_two(ours, FullBatch(), epochs=3), at_once(theirs, updates=3)) < 1e-5


@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 3}, {"run_eagerly": True}], ids=lambda o: "-".join(o))
def test_ways_to_run_it(options):
    data = (tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH),) if not options else (X, Y)
    assert error(on_two(batch_gd, FullBatch(), data=data, **options), at_once(sgd)) < 1e-5


def words():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((5,)), layers.Embedding(9, 4), layers.GlobalAveragePooling1D(), layers.Dense(3)]
    )


def test_embeddings():
    """Their gradients are sparse, and of words that one device has and the other has not."""
    data = RNG.integers(0, 9, (N, 5)), RNG.integers(0, 3, N)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = on_two(lambda: BatchGD(0.5), FullBatch(), make=words, data=data, loss=loss)
    assert error(ours, at_once(lambda: optimizers.SGD(0.5), words, data, loss), words) < 1e-5


@pytest.mark.slow_cases("mixed_float16")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    ours = on_two(batch_gd, FullBatch())
    keras.config.set_dtype_policy("float32")
    assert error(ours, at_once(sgd)) < (3e-2 if policy == "mixed_bfloat16" else 3e-3)


def each_batch_by_itself():
    """Keras's updates on two devices: of the mean of the devices' means, which is 0 of a device without samples."""
    model = network()
    model.compile(sgd(), "mse", run_eagerly=True)
    for _ in range(2):
        for start in range(0, N, BATCH):
            rows = slice(start, start + BATCH)
            weight = np.full(len(X[rows]), 0.5 if len(X[rows]) == 1 else 1.0, "float32")
            model.train_on_batch(X[rows], Y[rows], sample_weight=weight)
    return flat(model)


@pytest.mark.slow_cases("None-every batch", "4-full batch", "2-every batch")
@pytest.mark.parametrize("callbacks", [[FullBatch], []], ids=["full batch", "every batch"])
@pytest.mark.parametrize("block", [2, 4, None])
def test_blocks_of_a_device_without_samples(block, callbacks):
    ours = on_two(batch_gd, *(callback() for callback in callbacks), BlockGradient(block))
    assert np.isfinite(ours).all()
    assert error(ours, at_once(sgd) if callbacks else each_batch_by_itself()) < 1e-5


def test_batches_by_themselves():
    """`BatchGD` is `SGD` there too."""
    assert error(on_two(batch_gd), each_batch_by_itself()) < 1e-5
