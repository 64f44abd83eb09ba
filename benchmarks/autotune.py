"""What an epoch's end costs: arrays given to `fit` of Keras, and `full_batches` with TensorFlow's tuning and without.

A small CNN on random images, micro-batches of 64, both cores, one process. The contenders take turns, ten epochs each;
seconds are those of an epoch from its beginning to the beginning of the next, so that they hold what TensorFlow waits
for when an iterator has come to its end. An epoch is late if it is longer than any of `full_batches`.

    python -m benchmarks.autotune        # two minutes
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.record import write
from recipes.data import full_batches

ROUNDS, EPOCHS, IMAGES, BATCH = 5, 10, 1280, 64
OURS = "full_batches"


class Seconds(keras.callbacks.Callback):
    """Seconds from the beginning of each epoch to the beginning of the next, but the first, which is compiled."""

    def on_train_begin(self, logs=None):
        self.began = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began.append(time.perf_counter())

    def each(self):
        return np.diff(self.began)[1:].tolist()


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    made = keras.Sequential(
        [
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    return made


def main():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8"), rng.integers(0, 10, IMAGES)
    tuned = tf.data.Options()
    tuned.autotune.enabled = True
    given = {
        "arrays": {"x": x, "y": y, "batch_size": BATCH},
        "full_batches, tuned": {"x": full_batches(x, y, BATCH).with_options(tuned)},
        OURS: {"x": full_batches(x, y, BATCH)},
    }
    models, seconds = {name: model() for name in given}, {name: [] for name in given}
    for _ in range(ROUNDS):
        for name, data in given.items():
            watch = Seconds()
            models[name].fit(**data, epochs=2 + EPOCHS, shuffle=False, verbose=0, callbacks=[watch])
            seconds[name] += watch.each()
    found = {name: beside(each, seconds[OURS]) for name, each in seconds.items() if name != OURS}
    for name, each in found.items():
        print("{:20} all epochs {ratio_of_all:.2f} x, {late} of {epochs} late".format(name, **each))
    settings = {"images": IMAGES, "batch_size": BATCH, "epochs": ROUNDS * EPOCHS}
    write("autotune", {**settings, "seconds": seconds, "beside_full_batches": found})


def beside(seconds, ours):
    late = sum(each > max(ours) for each in seconds)
    return {"ratio_of_all": sum(seconds) / sum(ours), "late": late, "epochs": len(seconds)}


if __name__ == "__main__":
    main()
