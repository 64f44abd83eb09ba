"""What the end of an epoch costs: arrays given to `fit` of Keras, and the same batches by `full_batches`.

A small CNN on random images, micro-batches of 64, both cores, one process. The two take turns, ten epochs each; seconds
are those of an epoch from its beginning to the beginning of the next, so that they hold what TensorFlow waits for when
an iterator has come to its end.

    python -m benchmarks.autotune        # two minutes
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks.record import ratios, write
from recipes.data import full_batches

ROUNDS, EPOCHS, IMAGES, BATCH = 5, 10, 1280, 64


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
    given = {"arrays": {"x": x, "y": y, "batch_size": BATCH}, "full_batches": {"x": full_batches(x, y, BATCH)}}
    models, seconds = {name: model() for name in given}, {name: [] for name in given}
    for _ in range(ROUNDS):
        for name, data in given.items():
            watch = Seconds()
            models[name].fit(**data, epochs=2 + EPOCHS, shuffle=False, verbose=0, callbacks=[watch])
            seconds[name] += watch.each()
    found = ratios(seconds, "arrays", "full_batches")
    total = sum(seconds["arrays"]) / sum(seconds["full_batches"])
    print("arrays: {median:.2f} x an epoch of full_batches ({min:.2f} to {max:.2f})".format(**found))
    print(f"all {ROUNDS * EPOCHS} epochs: {total:.2f} x")
    settings = {"images": IMAGES, "batch_size": BATCH, "epochs": ROUNDS * EPOCHS}
    write("autotune", {**settings, "seconds": seconds, "ratio_of_epochs": found, "ratio_of_all": total})


if __name__ == "__main__":
    main()
