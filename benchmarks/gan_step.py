"""A training step of `recipes.gan.GAN` beside one in the manner of keras.io, of the same networks and batch.

Twice: with the networks of keras.io's "DCGAN to generate face images" (64 x 64 pixels, batches of 32), and with those
that `benchmarks.gan_keras` has for digits (32 x 32, one channel, batches of 64); both without dropout. Cross-entropy,
Adam, no augmentation, no normalisation, no average. `GAN` has the convolutions and activations of `recipes.layers`,
which compute the same, or Keras's. The contenders take turns in one process; ratios are of two turns one right after
the other.

    python -m benchmarks.gan_step      # ten minutes on two cores
    python -m benchmarks.gan_step --out gan_step_avx2     # on a processor without AVX-512, beside it
"""

import argparse
import functools
import time

import keras
import numpy as np
from keras import layers

from benchmarks import gan_keras
from benchmarks.record import ratios, write
from recipes.gan import GAN
from recipes.gan.losses import Minimax, NonSaturating
from recipes.layers import FlippedConv2DTranspose, FusedLeakyReLU, ThinConv2D
from recipes.machine import dtypes

ROUNDS = 15
KERAS, XLA = "keras.io", "keras.io, jit_compile as compile gives it by default"
FAST = {"convolution": ThinConv2D, "transposed": FlippedConv2DTranspose, "leaky": FusedLeakyReLU}
AT_ONCE, ZERO_SUM = {"simultaneous": True}, {"simultaneous": True, "loss": Minimax()}
OURS = {  # options of the networks and of the step, precision
    "GAN, Keras's layers": ({}, {}, "float32"),
    "GAN": (FAST, {}, "float32"),
    "GAN, bfloat16": (FAST, {}, "mixed_bfloat16"),
    "GAN, simultaneous, Keras's layers": ({}, AT_ONCE, "float32"),
    "GAN, simultaneous": (FAST, AT_ONCE, "float32"),
    "GAN, simultaneous, bfloat16": (FAST, AT_ONCE, "mixed_bfloat16"),
    "GAN, simultaneous, minimax, Keras's layers": ({}, ZERO_SUM, "float32"),
    "GAN, simultaneous, minimax": (FAST, ZERO_SUM, "float32"),
    "GAN, simultaneous, minimax, bfloat16": (FAST, ZERO_SUM, "mixed_bfloat16"),
}


def faces(convolution=layers.Conv2D, transposed=layers.Conv2DTranspose, leaky=layers.LeakyReLU):
    """The discriminator, which gives logits, and the generator of keras.io's example."""
    discriminator = [keras.Input((64, 64, 3))]
    for filters in (64, 128, 128):
        discriminator += [convolution(filters, 4, 2, "same"), leaky(0.2)]
    generator = [keras.Input((gan_keras.LATENT,)), layers.Dense(8 * 8 * 128), layers.Reshape((8, 8, 128))]
    for filters in (128, 256, 512):
        generator += [transposed(filters, 4, 2, "same"), leaky(0.2)]
    generator += [convolution(3, 5, padding="same", activation="sigmoid")]
    return keras.Sequential([*discriminator, layers.Flatten(), layers.Dense(1)]), keras.Sequential(generator)


NETWORKS = {  # networks, shape of a batch, steps of a turn, rounds, contenders
    "faces": (faces, (32, 64, 64, 3), 1, ROUNDS // 2, ("GAN, Keras's layers", "GAN", "GAN, bfloat16")),
    "digits": (
        functools.partial(gan_keras.networks, 1, 16, 32, dropout=0.0),
        (gan_keras.BATCH, 32, 32, 1),
        20,
        ROUNDS,
        tuple(OURS),
    ),
}


def ours(networks, of_networks, options, policy):
    with dtypes.policy(policy):
        discriminator, generator = networks(**of_networks)
    gan = GAN(generator, discriminator, **{"loss": NonSaturating(), "half_life": 0, **options})
    gan.compile(keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4), jit_compile=False)
    return gan


def stepping(model, data, steps):
    """A function that makes so many steps of what `fit` calls."""
    step = model.make_train_function() or model.train_function

    def run():
        for _ in range(steps):
            logs = step(iter([data]))
        float(next(iter(logs.values())))

    run()  # compiled
    return run


def compared(networks, shape, steps, rounds, names):
    """A dict: of each contender, the seconds of a step, median, and how often it makes one while keras.io makes one."""
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
    numbers, labels = keras.ops.convert_to_tensor(pixels.astype("float32") / 255), np.zeros(shape[0])
    pixels = keras.ops.convert_to_tensor(pixels)
    contenders = {
        KERAS: stepping(gan_keras.compiled(networks()), numbers, steps),
        XLA: stepping(gan_keras.compiled(networks(), jit_compile="auto"), numbers, steps),
        **{name: stepping(ours(networks, *OURS[name]), (pixels, labels), steps) for name in names},
    }
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append((time.perf_counter() - start) / steps)
    return {
        name: {
            "seconds_of_a_step": sorted(seconds[name])[rounds // 2],
            "times_as_fast_as_keras": ratios(seconds, KERAS, name),
        }
        for name in contenders
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="gan_step", help="name of the file in benchmarks/results")
    asked, found = parser.parse_args(), {}
    for of, (networks, shape, steps, rounds, names) in NETWORKS.items():
        contenders = compared(networks, shape, steps, rounds, names)
        found[of] = {"batch": shape[0], "steps": steps, "rounds": rounds, "contenders": contenders}
        for name, each in contenders.items():
            row = "{median:6.2f} x  ({min:.2f} to {max:.2f})".format(**each["times_as_fast_as_keras"])
            print(f"{of}: {name:54} {row}", flush=True)
    write(asked.out, found)


if __name__ == "__main__":
    main()
