"""What an accumulating micro-step costs, beside forward and backward alone and beside Keras's own accumulation.

A CNN of 2 million parameters, batches of 128 images 32×32×3, one process. Each round times a few steps of every
contender one after the other; ratios are taken within a round, so that a machine that changes its speed does not
change them.

    python -m benchmarks.accumulation
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.record import ratios, write
from custom_optimizers import BatchGD

ROUNDS, STEPS, BATCH = 15, 8, 128
NEVER = 10**6  # micro-batches in a window that does not end here


def network():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255)])
    for width in (32, 64, 128):
        model.add(layers.Conv2D(width, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(930, activation="relu"))
    model.add(layers.Dense(10))
    return model


def contender(optimizer, jit_compile):
    """A step on one batch: forward and backward, and what `optimizer` does with the gradients, if there is one."""
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if optimizer is not None:
        optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        if optimizer is None:
            return gradients
        optimizer.apply(gradients, model.trainable_variables)
        return value

    return step


def accumulation_alone(optimizer, jit_compile):
    """A step that only accumulates gradients that are there already."""
    model = network()
    optimizer.build(model.trainable_variables)
    gradients = [tf.random.normal(v.shape) for v in model.trainable_variables]

    @tf.function(jit_compile=jit_compile)
    def step(x, y):
        optimizer.apply(gradients, model.trainable_variables)
        return tf.convert_to_tensor(optimizer.iterations) + 0

    return step


def contenders(jit_compile):
    def ours():
        return BatchGD(gradient_accumulation_steps=NEVER)

    def theirs():
        return keras.optimizers.SGD(gradient_accumulation_steps=NEVER)

    return {
        "forward and backward": contender(None, jit_compile),
        "BatchGD": contender(ours(), jit_compile),
        "Keras SGD": contender(theirs(), jit_compile),
        "BatchGD, accumulation alone": accumulation_alone(ours(), jit_compile),
        "Keras SGD, accumulation alone": accumulation_alone(theirs(), jit_compile),
    }


def measure(jit_compile):
    """Seconds a step of each contender, a list of one a round."""
    steps = contenders(jit_compile)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.integers(0, 256, (BATCH, 32, 32, 3)), tf.float32)
    y = tf.constant(rng.integers(0, 10, BATCH))
    seconds = {name: [] for name in steps}
    for counted in [False, *[True] * ROUNDS]:  # the first round compiles
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                outcome = step(x, y)
            tf.nest.flatten(outcome)[-1].numpy()  # wait for it
            if counted:
                seconds[name].append((time.perf_counter() - start) / STEPS)
    return seconds


def main():
    result = {"parameters": network().count_params(), "batch": BATCH, "rounds": ROUNDS}
    for mode, jit_compile in (("graph", False), ("jit", True)):
        seconds = measure(jit_compile)
        result[mode] = {
            "median_ms": {name: 1000 * statistics.median(each) for name, each in seconds.items()},
            "BatchGD / forward and backward": ratios(seconds, "BatchGD", "forward and backward"),
            "Keras SGD / forward and backward": ratios(seconds, "Keras SGD", "forward and backward"),
            "BatchGD / Keras SGD": ratios(seconds, "BatchGD", "Keras SGD"),
            "the same, accumulation alone": ratios(
                seconds, "BatchGD, accumulation alone", "Keras SGD, accumulation alone"
            ),
        }
        print(f"\n{mode}, {result['parameters']:,} parameters, batch {BATCH}, {ROUNDS} rounds")
        for name, value in result[mode]["median_ms"].items():
            print(f"  {name:36} {value:8.2f} ms")
        for name in list(result[mode])[1:]:
            print("  {:36} {median:8.3f}   ({min:.3f} to {max:.3f})".format(name, **result[mode][name]))
    write("accumulation", result)


if __name__ == "__main__":
    main()
