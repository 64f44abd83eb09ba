"""Prints how far the weights are that several devices come to from those of one device, many passes in a call."""

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import keras
import numpy as np

from callbacks import FullBatch
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import compiled, flat, samples, scope

X, Y = samples(52)


def train(devices, batch_size):
    if keras.backend.backend() == "jax":
        names = keras.distribution.list_devices()[:devices]
        data = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
        keras.distribution.set_distribution(data if devices > 1 else None)
        devices = 1  # of TensorFlow's strategies
    with scope(devices):
        model = compiled(lambda: BatchGD(0.1, momentum=0.9, clipping=ByGlobalNorm(0.2)))
    full = FullBatch(passes_per_epoch=4)
    model.fit(X, Y, batch_size=batch_size, epochs=3, shuffle=False, verbose=0, callbacks=[full])
    return flat(model), full.trace["loss"]


def main():
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if on_tensorflow:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    found = {}
    for batch_size in (52, 20, 14) if on_tensorflow else (52, 20):  # JAX shares batches evenly: 20, 20, 12
        (one, losses), (several, of_several) = train(1, batch_size), train(2 if on_tensorflow else 4, batch_size)
        found[batch_size] = [float(np.abs(one - several).max()), float(np.abs(losses - of_several).max())]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
