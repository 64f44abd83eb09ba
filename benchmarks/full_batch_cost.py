"""What an update of a full batch in blocks costs beside its forward and backward passes, with regularisers and without.

The network of `cifar10_full_batch` at width 16, 512 random images, micro-batches and blocks of 128, one
process. Each contender is one `fit`, and the passes of the same micro-batches, gradients thrown away, are a loop; the
two take turns, an update each, and every ratio is of two updates one right after the other. On one core, since the two
threads of a convolution were sometimes put on the same one.

    python -m benchmarks.full_batch_cost        # six minutes
"""

import os
import statistics
import threading
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

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
UPDATES, IMAGES, BLOCK, WIDTH = 12, 512, 128, 16
PASSES = "forward and backward passes"
CONTENDERS = {  # size of a block, callbacks
    "full batch": (BLOCK, ()),
    "in blocks": (BLOCK, (BlockGradient(BLOCK),)),
    "regularised, differences": (BLOCK, (GradientRegularizer(0.5, "differences", block_size=BLOCK),)),
    "regularised, Hessian": (BLOCK, (GradientRegularizer(0.5, "hessian", block_size=BLOCK),)),
    "sharpness-aware": (BLOCK, (SharpnessAware(0.05, block_size=BLOCK),)),
    "regularised, differences, blocks of 32": (32, (GradientRegularizer(0.5, "differences", block_size=32),)),
}


class Turns(keras.callbacks.Callback):
    """Seconds of each epoch of a `fit` in a thread of its own, which works only while it is its turn.

    Args:
        mine, other: `threading.Event`, set while it is the turn of this one, and of the other.
    """

    def __init__(self, mine, other):
        super().__init__()
        self._mine, self._other = mine, other
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._mine.wait()
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)
        self._mine.clear()
        self._other.set()


def model_and_batches(batch_size, block):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (IMAGES, 32, 32, 3)).astype("uint8")
    model = resnet18((32, 32, 3), 10, width=WIDTH)
    optimizer = BatchGD(0.1, momentum=0.9, nesterov=True, clipping=ByGlobalNorm(0.25), weight_decay=0.0005)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, weighted_metrics=["accuracy"], jit_compile=False)
    return model, full_batches(x, rng.integers(0, 10, IMAGES), batch_size, block_size=block)


def fit(block, callbacks, turns):
    model, batches = model_and_batches(BLOCK, block)
    callbacks = [FullBatch(), *callbacks, turns]
    return lambda: model.fit(batches, epochs=1 + UPDATES, verbose=0, shuffle=False, callbacks=callbacks)


def passes(block, turns):
    """The forward and backward passes of as many updates, block by block."""
    model, batches = model_and_batches(block, block)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            value = model.loss(y, model(x, training=True))
        return value, tape.gradient(value, model.trainable_variables)

    def run():
        for epoch in range(1 + UPDATES):
            turns.on_epoch_begin(epoch)
            for x, y, _weight in batches:
                value, _gradients = step(x, y)
            value.numpy()
            turns.on_epoch_end(epoch)

    return run


def beside_passes(block, callbacks):
    """Ratios of the updates of a contender to their passes, without the first, which is compiled."""
    events = threading.Event(), threading.Event()
    one, other = Turns(*events), Turns(*events[::-1])
    threads = [threading.Thread(target=work) for work in (passes(block, one), fit(block, callbacks, other))]
    events[0].set()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = {PASSES: one.seconds[1:], "update": other.seconds[1:]}
    return {"seconds_of_passes": statistics.median(seconds[PASSES]), **ratios(seconds, "update", PASSES)}


def main():
    found = {}
    for name, (block, callbacks) in CONTENDERS.items():
        found[name] = beside_passes(block, callbacks)
        keras.utils.clear_session()
        print("{:40} {median:6.3f} x   ({min:.3f} to {max:.3f})".format(name, **found[name]), flush=True)
    settings = {"images": IMAGES, "block": BLOCK, "width": WIDTH, "updates": UPDATES}
    write("full_batch_cost", {**settings, "contenders": found})


if __name__ == "__main__":
    main()
