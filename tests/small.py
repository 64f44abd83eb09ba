"""Small models, data and comparisons that several tests use."""

import contextlib

import keras
import numpy as np
from keras import layers


def samples(n, seed=0):
    """`n` random images 8×8×1 with labels 0..3 that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8, 8, 1)).astype("float32")
    return x, (x.reshape(n, 2, 32).mean(axis=2) > 0) @ np.array([2, 1])


def network(regularizer=None, dtype=None, normalized=False):
    """A small convolutional classifier with the same weights at each call."""
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer=regularizer, dtype=dtype),
            *([layers.GroupNormalization(groups=2, dtype=dtype)] if normalized else []),
            layers.Flatten(),
            layers.Dense(4, dtype=dtype),
        ]
    )


def loss(reduction="sum_over_batch_size"):
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)


def compiled(optimizer, reduction="sum_over_batch_size", regularizer=None, normalized=False, **options):
    """`network` compiled with what `optimizer()` returns."""
    model = network(regularizer, normalized=normalized)
    model.compile(optimizer=optimizer(), loss=loss(reduction), **options)
    return model


def mirrored():
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def scope(devices):
    return mirrored().scope() if devices == 2 else contextlib.nullcontext()


def change(model, of=network):
    """All weights, less those the model began with: what training did."""
    return flat(model) - flat(of())


def flat(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def relative(a, b):
    """‖a − b‖ / ‖b‖."""
    return np.linalg.norm(np.asarray(a, "float64") - b) / np.linalg.norm(b)
