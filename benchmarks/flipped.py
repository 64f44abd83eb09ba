"""A training step of the recipes' networks with `FlippedConv2D` and without, on a processor that has no AVX-512.

Random pixels, float32, batches of each recipe's size, 100 for ResNet-9. Both take turns in one process; ratios are of
two turns one right after the other.

    python -m benchmarks.flipped        # four minutes on two cores
"""

import contextlib
import time
from unittest import mock

import keras
import numpy as np

from benchmarks.record import ratios, write
from recipes.cifar10_fast import Cifar10Fast
from recipes.cifar10_gan import Cifar10GAN
from recipes.data import Images
from recipes.layers import flipped_conv2d, flipped_conv2d_transpose
from recipes.machine.backend import start_keras

ROUNDS, STEPS = 7, 1
CONTENDERS = {  # recipe, settings, preset
    "cifar10_gan cgan_pd": (Cifar10GAN, {"data": "cifar10", "variant": "cgan_pd"}, "cpu60"),
    "cifar10_gan wgan_gp": (Cifar10GAN, {"data": "cifar10", "variant": "wgan_gp"}, "cpu60"),
    "cifar10_fast fast": (Cifar10Fast, {"data": "cifar10"}, "fast"),
    "cifar10_fast resnet9": (Cifar10Fast, {"data": "cifar10", "batch_size": 100}, "resnet9"),
}
PLAIN, FLIPPED = "Conv2D", "FlippedConv2D"


@contextlib.contextmanager
def kernels(name):
    """Traced in this context, both layers have TensorFlow's own gradients, or the convolution with the flipped kernel.

    What `ThinConv2D` has besides is the same in both.
    """
    with contextlib.ExitStack() as stack:
        for module in (flipped_conv2d, flipped_conv2d_transpose):
            stack.enter_context(mock.patch.object(module, "has_only_avx2", return_value=name == FLIPPED))
        yield


def photos(count):
    """Random pixels as images of a data set."""
    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (count, 32, 32, 3)).astype("uint8"), rng.integers(0, 10, count).astype("int8")
    return Images("random", tuple("0123456789"), part, part, part, origin={}, digest="")


def stepping(recipe, images):
    """A function that trains on `STEPS` batches and returns seconds."""
    model = recipe.model(images)
    batch = tuple(keras.ops.convert_to_tensor(part) for part in next(iter(recipe.batches(images).endless())))
    step = model.make_train_function() or model.train_function

    def run():
        start = time.perf_counter()
        for _ in range(STEPS):
            logs = step(iter([batch]))
        float(next(iter(logs.values())))
        return time.perf_counter() - start

    run()  # compiled
    return run


def compared(recipe, images):
    """Seconds of a step of each, medians, and how much faster it is."""
    runs = {}
    for name in (PLAIN, FLIPPED):
        with kernels(name):
            runs[name] = stepping(recipe, images)
    seconds = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            seconds[name].append(run() / STEPS)
    medians = {name: sorted(each)[ROUNDS // 2] for name, each in seconds.items()}
    return {"seconds_of_a_step": medians, "times_as_fast": ratios(seconds, PLAIN, FLIPPED)}


def main():
    start_keras("cpu")
    found = {}
    for name, (cls, settings, preset) in CONTENDERS.items():
        recipe = cls.from_preset(preset, **settings)
        found[name] = {"batch": recipe.batch_size, **compared(recipe, photos(4 * recipe.batch_size))}
        row = "{median:6.2f} x  ({min:.2f} to {max:.2f})".format(**found[name]["times_as_fast"])
        print(f"{name:22}{row}", flush=True)
    write("flipped", {"rounds": ROUNDS, "contenders": found})


if __name__ == "__main__":
    main()
