"""A training step of `recipes.gan.GAN` beside one in the manner of keras.io, of the same networks and batch.

The networks of `benchmarks.gan_keras` for digits, without dropout; cross-entropy, Adam, batches of 64, no augmentation,
no normalisation, no average. The contenders take turns, 20 steps each, in one process; ratios are of two turns one
right after the other.

    python -m benchmarks.gan_step
"""

import time

import keras
import numpy as np

from benchmarks.gan_keras import BATCH, compiled, networks
from benchmarks.record import ratios, write
from recipes import dtypes
from recipes.gan import GAN
from recipes.gan.losses import Minimax, NonSaturating
from recipes.layers import FusedLeakyReLU, ThinConv2D

FAST = {"convolution": ThinConv2D, "leaky": FusedLeakyReLU}
STEPS, ROUNDS = 20, 21
KERAS, XLA = "keras.io", "keras.io, jit_compile as compile gives it by default"
OURS = {  # options of the networks and of the step, precision
    "GAN, Keras's layers": ({}, {}, "float32"),
    "GAN": (FAST, {}, "float32"),
    "GAN, simultaneous, Keras's layers": ({}, {"simultaneous": True}, "float32"),
    "GAN, simultaneous": (FAST, {"simultaneous": True}, "float32"),
    "GAN, simultaneous, zero-sum, Keras's layers": ({}, {"simultaneous": True, "loss": Minimax()}, "float32"),
    "GAN, simultaneous, zero-sum": (FAST, {"simultaneous": True, "loss": Minimax()}, "float32"),
    "GAN, bfloat16": (FAST, {}, "mixed_bfloat16"),
    "GAN, simultaneous, zero-sum, bfloat16": (FAST, {"simultaneous": True, "loss": Minimax()}, "mixed_bfloat16"),
}


def ours(of_networks, options, policy):
    with dtypes.policy(policy):
        discriminator, generator = networks(1, 16, 32, dropout=0.0, **of_networks)
    gan = GAN(generator, discriminator, **{"loss": NonSaturating(), "half_life": 0, **options})
    gan.compile(keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4), jit_compile=False)
    return gan


def stepping(model, data):
    """A function that makes so many steps of what `fit` calls."""
    step = model.make_train_function() or model.train_function

    def run():
        for _ in range(STEPS):
            logs = step(iter([data]))
        float(next(iter(logs.values())))

    run()  # compiled
    return run


def main():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BATCH, 32, 32, 1)).astype("uint8")
    numbers, labels = keras.ops.convert_to_tensor(pixels.astype("float32") / 255), np.zeros(BATCH)
    pixels = keras.ops.convert_to_tensor(pixels)
    contenders = {
        KERAS: stepping(compiled(networks(1, 16, 32, dropout=0.0)), numbers),
        XLA: stepping(compiled(networks(1, 16, 32, dropout=0.0), jit_compile="auto"), numbers),
        **{name: stepping(ours(*options), (pixels, labels)) for name, options in OURS.items()},
    }
    seconds = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / STEPS)
    found = {name: {"seconds_of_a_step": sorted(each)[ROUNDS // 2]} for name, each in seconds.items()}
    for name in contenders:
        found[name]["times_as_fast_as_keras"] = ratios(seconds, KERAS, name)
        print("{:50} {median:6.2f} x  ({min:.2f} to {max:.2f})".format(name, **found[name]["times_as_fast_as_keras"]))
    write("gan_step", {"batch": BATCH, "steps": STEPS, "rounds": ROUNDS, "contenders": found})


if __name__ == "__main__":
    main()
