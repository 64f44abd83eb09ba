"""What an update of a full batch in blocks costs beside its forward and backward passes, with regularisers and without.

The network of `cifar10_cnn --variant full_batch` at width 16, 1,024 random images, micro-batches and blocks of 128, one
process. Each contender is a `fit` of a few updates, of which the first is left out; all take turns in each round, and
ratios are taken within a round. Forward and backward passes are those of the same micro-batches, gradients thrown away.

    python -m benchmarks.full_batch_cost        # ten minutes on two cores
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.record import ratios, write
from callbacks import BlockGradient, FullBatch, GradientRegularizer, SharpnessAware
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches
from recipes.models import resnet18

ROUNDS, UPDATES, IMAGES, BLOCK, WIDTH = 3, 3, 1024, 128, 16
PASSES = "forward and backward passes"
CONTENDERS = {  # callbacks of each
    "full batch": (),
    "in blocks": (BlockGradient(BLOCK),),
    "regularised, differences": (GradientRegularizer(0.5, "differences", block_size=BLOCK),),
    "regularised, Hessian": (GradientRegularizer(0.5, "hessian", block_size=BLOCK),),
    "sharpness-aware": (SharpnessAware(0.05, block_size=BLOCK),),
}


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


def model_and_batches():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    model = resnet18((32, 32, 3), 10, width=WIDTH)
    optimizer = BatchGD(0.1, momentum=0.9, nesterov=True, clipping=ByGlobalNorm(0.25), weight_decay=0.0005)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, weighted_metrics=["accuracy"], jit_compile=False)
    return model, full_batches(x, rng.integers(0, 10, IMAGES), BLOCK, block_size=BLOCK)


def seconds_of_fit(callbacks):
    """Seconds of an update, the median of those of one fit."""
    model, batches = model_and_batches()
    clock = Clock()
    model.fit(batches, epochs=1 + UPDATES, verbose=0, shuffle=False, callbacks=[FullBatch(), *callbacks, clock])
    return statistics.median(clock.seconds[1:])


def seconds_of_passes():
    """Seconds of the forward and backward passes of an update."""
    model, batches = model_and_batches()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            value = model.loss(y, model(x, training=True))
        return value, tape.gradient(value, model.trainable_variables)

    seconds = []
    for _ in range(1 + UPDATES):
        start = time.perf_counter()
        for x, y, _weight in batches:
            value, _gradients = step(x, y)
        value.numpy()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main():
    seconds = {name: [] for name in (PASSES, *CONTENDERS)}
    for number in range(ROUNDS):
        seconds[PASSES].append(seconds_of_passes())
        for name, callbacks in CONTENDERS.items():
            seconds[name].append(seconds_of_fit(callbacks))
        keras.utils.clear_session()
        print(f"round {number + 1}:", {name: round(each[-1], 3) for name, each in seconds.items()}, flush=True)
    found = {name: ratios(seconds, name, PASSES) for name in CONTENDERS}
    print(f"{PASSES}: {statistics.median(seconds[PASSES]):.2f} s for {IMAGES} images")
    for name, ratio in found.items():
        print("  {:28} {median:8.3f} x   ({min:.3f} to {max:.3f})".format(name, **ratio))
    settings = {"images": IMAGES, "block": BLOCK, "width": WIDTH, "rounds": ROUNDS}
    write("full_batch_cost", {**settings, "seconds_of_passes": statistics.median(seconds[PASSES]), "ratios": found})


if __name__ == "__main__":
    main()
