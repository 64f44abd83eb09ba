"""How long until the first step, and what share of an epoch the input path takes.

The first is from the start of the process to the end of its first training step, compiling included; in a fresh
process each time, median of 5. The second is the time to make the batches of an epoch, with nothing else to do and the
pipeline running, beside the time of an epoch of training, both medians of 5 in one process.

    python -m benchmarks.input_path --data cifar10 --data-dir DIR
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.record import write
from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_fast import Cifar10Fast
from recipes.machine import dtypes
from recipes.run import Run, seconds_of
from recipes.training.train import train_and_judge

STARTS, EPOCHS = 5, 5
CONTENDERS = {  # recipe, settings, dtype
    "groupnorm, batch_gd, micro-batch 128": (Cifar10CNN, {}, "float32"),
    "groupnorm, sgd, batch 128": (Cifar10CNN, {"optimizer": "sgd", "learning_rate": 0.05}, "float32"),
    "basic, sgd, batch 32": (Cifar10CNN, {"variant": "basic"}, "float32"),
    "fast, muon, batch 500, augmented": (Cifar10Fast, {}, "bfloat16"),
}
TRAIN_IMAGES = 10_000


def first_step_seconds(options):
    """Seconds from the start of the command to its first report of a step."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-u", "-m", "recipes", "train", "cifar10_cnn", *options]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--run-dir", f"{directory}/run"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        seen = b""
        while b"loss:" not in seen:
            chunk = os.read(process.stdout.fileno(), 4096)
            assert chunk, seen
            seen += chunk
        seconds = time.perf_counter() - start
        process.kill()
        process.communicate()
        return seconds


def shares(cls, settings, dtype, data, data_dir):
    """Seconds of an epoch's batches alone, and of an epoch."""
    import tensorflow as tf

    size = TRAIN_IMAGES if data == "cifar10" else None
    recipe = cls.from_preset(data=data, epochs=EPOCHS, train_images=size, **settings)
    images = recipe.load(data_dir)
    batches = recipe.batches(images)

    def seconds(epochs):
        """Of making the batches of some epochs in one iterator, as `fit` does with shuffled ones."""
        is_full = recipe.steps == "epoch"
        dataset = batches.repeat(epochs) if is_full else batches.dataset().take(epochs * batches.num_batches)
        start = time.perf_counter()
        dataset.reduce(tf.constant(0), lambda count, *_: count + 1)
        return time.perf_counter() - start

    batches_alone = statistics.median((seconds(1 + EPOCHS) - seconds(1)) / EPOCHS for _ in range(5))
    with tempfile.TemporaryDirectory() as directory, Run(recipe, directory) as run:
        run.begin(images.about())
        with dtypes.policy(dtype):
            train_and_judge(recipe, run, images)
        whole = statistics.median(seconds_of(run.directory)[1:])  # without the first, which compiles
    return {"batches_alone_seconds": batches_alone, "epoch_seconds": whole, "share": batches_alone / whole}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    asked = parser.parse_args()
    options = ["--data", asked.data, *(["--data-dir", asked.data_dir] if asked.data_dir else [])]
    seconds = [first_step_seconds(options) for _ in range(STARTS)]
    print(f"first step after {statistics.median(seconds):.1f} s, {min(seconds):.1f} to {max(seconds):.1f}")
    found = {}
    for name, of in CONTENDERS.items():
        found[name] = shares(*of, asked.data, asked.data_dir)
        print(f"{name}: {json.dumps(found[name])}")
    write("input_path", {"data": asked.data, "first_step_seconds": seconds, "epochs": found})


if __name__ == "__main__":
    main()
