"""Prints how far a search in micro-batches of 64 is from one on the whole, in float64, for some of `MODELS`.

Its optimizer is one of `tests.backends.searching.SEARCHING`.

    JAX_ENABLE_X64=1 KERAS_BACKEND=jax python -m tests.backends.search_exactness OPTIMIZER DEVICES NAME ...

Keras 3.15 rounds float64 to float32 in places: on JAX and torch in `mean`, `moments` and group normalisation, on torch
also in `matmul`, which is in `Dense`, and where a loss is averaged over a batch. So beside the models as anybody writes
them there are "wide" ones that compute in float64 on each backend: with `EinsumDense` in place of `Dense`, a
normalisation by sums, and a loss that is a sum.
"""

import json
import os
import sys

if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import keras
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits

from callbacks import FullBatch
from custom_optimizers.diagnostics import number
from tests.backends.searching import SEARCHING
from tests.small import relative, scope

N, MICRO, EVALUATIONS = 152, 64, 45  # micro-batches of 64, 64 and 24: four devices share each of them evenly


class GroupNorm(layers.Layer):
    """Group normalisation without scale and offset, by sums and quotients alone."""

    def call(self, x):
        groups = ops.reshape(x, (-1, x.shape[1] * x.shape[2], 2, x.shape[3] // 2))
        count = groups.shape[1] * groups.shape[3]
        groups = groups - ops.sum(groups, axis=(1, 3), keepdims=True) / count
        variance = ops.sum(groups * groups, axis=(1, 3), keepdims=True) / count
        return ops.reshape(groups * ops.rsqrt(variance + 1e-3), (-1, *x.shape[1:]))


def wide_dense(units, **options):
    return layers.EinsumDense("ab,bc->ac", units, bias_axes="c", **options)


def softmax(dense):
    return [layers.Flatten(), dense(10, kernel_regularizer=keras.regularizers.L2(0.01))]


def network(dense, normalization):
    convolution = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2")
    return [convolution, normalization, layers.Flatten(), dense(10)]


MODELS = {  # name: (its layers, reduction of the loss)
    "softmax": (lambda: softmax(layers.Dense), "sum_over_batch_size"),
    "network": (lambda: network(layers.Dense, layers.GroupNormalization(2)), "sum_over_batch_size"),
    "wide softmax": (lambda: softmax(wide_dense), "sum"),
    "wide network": (lambda: network(wide_dense, GroupNorm()), "sum"),
}


def data():
    """The first digits, 8×8×1, in floatx."""
    x, y = load_digits(return_X_y=True)
    return (x[:N].reshape(N, 8, 8, 1) / 16).astype(keras.config.floatx()), y[:N]


def share(devices):
    """Let JAX share batches among some of its devices."""
    if keras.backend.backend() == "jax":
        names = keras.distribution.list_devices()[:devices]
        parallel = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        keras.distribution.set_distribution(parallel if devices > 1 else None)


def compiled(name, optimizer="lbfgs", devices=1):
    make, reduction = MODELS[name]
    keras.utils.set_random_seed(7)
    share(devices)
    with scope(devices if keras.backend.backend() == "tensorflow" else 1):
        model = keras.Sequential([keras.Input((8, 8, 1)), *make()])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        model.compile(SEARCHING[optimizer](), loss)
    return model


def fitted(model, batch_size, evaluations=EVALUATIONS):
    """The loss at the point that is accepted after so many evaluations; the model has its weights."""
    full = FullBatch(passes_per_epoch=evaluations)
    model.fit(*data(), batch_size=batch_size, shuffle=False, verbose=0, callbacks=[full])
    return model.optimizer.search.read()["loss"]


def trained(name, optimizer, devices, batch_size, point=None):
    """What a model comes to: `(loss, weights, updates)`, and loss and gradient at a point, its end if none is given.

    Loss and gradient are those of the first evaluation of L-BFGS, which begins there.
    """
    model = compiled(name, optimizer, devices)
    end = fitted(model, batch_size), model.get_weights(), number(model.optimizer.iterations)
    model = compiled(name, devices=devices)
    model.set_weights(point or end[1])
    loss = fitted(model, batch_size, 1)
    return end, (loss, ops.convert_to_numpy(model.optimizer.search.variables["gradient"]))


def measure(name, optimizer, devices=1):
    """How far micro-batches on some devices are from the whole on one: relative differences, a dict.

    `loss` and `gradient` at the same point; `weights`, and `end`, the loss, after as many evaluations. `updates` is
    their number.
    """
    (end, weights, updates), theirs = trained(name, optimizer, 1, N)
    (end_of_parts, weights_of_parts, _), ours = trained(name, optimizer, devices, MICRO, weights)
    loss, gradient = map(relative, ours, theirs)
    weights, weights_of_parts = (np.concatenate([w.ravel() for w in each]) for each in (weights, weights_of_parts))
    found = {"loss": loss, "gradient": gradient, "weights": relative(weights_of_parts, weights)}
    return {**found, "end": relative(end_of_parts, end), "updates": updates}


def main(optimizer, devices, *names):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    json.dump({name: measure(name, optimizer, int(devices)) for name in names}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
