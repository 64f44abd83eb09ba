"""Images a second of `cifar10_gan` and of the DCGAN in the manner of keras.io, with all that an epoch has.

What `fit` calls in a run, the images' order and flips included, without judgements. The contenders take turns on a
machine that does nothing else, `BATCHES` batches each, in one process. By it `benchmarks.gan_models` counts an hour as
images.

    python -m benchmarks.gan_speed --data-dir DIR        # of CIFAR-10
"""

import argparse
import time

import keras

from benchmarks import gan_keras
from benchmarks.record import ratios, write
from recipes.cifar10_gan import Cifar10GAN
from recipes.machine import dtypes, strategies
from recipes.machine.backend import start_keras

PRESET, VARIANT, BATCHES, ROUNDS = "cpu60", "cgan_pd", 60, 5
OURS, KERAS = "cifar10_gan", "keras.io"


class Clock(keras.callbacks.Callback):
    """When each batch ended; the first waits for a buffer to shuffle in."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append(time.perf_counter())


def speeds(recipe, images, dtype):
    """A dict: images a second of each, medians, and their ratio, median and range.

    Args:
        recipe: `recipes.cifar10_gan.Cifar10GAN`.
        images: `recipes.data.Images`.
        dtype: of `recipes.machine.dtypes`, which the recipe computes in.
    """
    contenders = {OURS: ours(recipe, images, dtype), KERAS: keras_io(recipe, images)}
    for run in contenders.values():
        run()  # compiled
    seconds = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            seconds[name].append(run())
    count = (BATCHES - 1) * gan_keras.BATCH
    return {
        "images_a_second": {name: round(count / sorted(each)[ROUNDS // 2], 1) for name, each in seconds.items()},
        "times_as_fast_as_keras": ratios(seconds, KERAS, OURS),
        "dtype": dtype,
    }


def ours(recipe, images, dtype):
    with dtypes.policy(dtype):
        model = recipe.model(images)
    return timed(model, recipe.batches(images).endless)


def keras_io(recipe, images):
    x = images.train[0].astype("float32") / 255
    model = gan_keras.compiled(gan_keras.networks(x.shape[-1], recipe.width, recipe.discriminator_width))
    return timed(model, lambda: gan_keras.batches(x, seed=0)["x"])


def timed(model, data):
    """A function that trains on `BATCHES` batches and returns seconds."""

    def run():
        clock = Clock()
        model.fit(data(), steps_per_epoch=BATCHES, verbose=0, callbacks=[clock], shuffle=False)
        return clock.ended[-1] - clock.ended[0]

    return run


def measured(preset, variant, data_dir):
    """`(speeds, images)` on this machine, the second how many there are to train on, for CIFAR-10."""
    start_keras("cpu")
    recipe = Cifar10GAN.from_preset(preset, data="cifar10", variant=variant)
    images = recipe.load(data_dir)
    dtype, _ = dtypes.chosen_by_rule(strategies.resolve("cpu"), recipe.dtypes)
    return speeds(recipe, images, dtype), len(images.train[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir")
    found, _ = measured(PRESET, VARIANT, parser.parse_args().data_dir)
    print("{median:.2f} x  ({min:.2f} to {max:.2f})".format(**found["times_as_fast_as_keras"]))
    write("gan_speed", {"preset": PRESET, "variant": VARIANT, "batches": BATCHES, "rounds": ROUNDS, **found})


if __name__ == "__main__":
    main()
