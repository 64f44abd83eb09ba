"""The fast recipe as `benchmarks.cifar10` runs it: a training with seconds and accuracy, and a worker that makes steps.

    python -m benchmarks.cifar10_keras train --data-dir DIR --seed 0
    python -m benchmarks.cifar10_keras steps --batch-size 500
    python -m benchmarks.cifar10_keras convolutions --batch-size 500

Steps are those of the recipe's own compiled `train_function` on one batch of random images that is there already.
`convolutions` makes nothing but the convolutions of a step, forward and both gradients, by TensorFlow's own kernels in
bfloat16: what no step that uses them can go below. The recipe's own kernel gradients of small images take less.
"""

import argparse
import json
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from recipes.cifar10_fast import Cifar10Fast
from recipes.data import Images
from recipes.machine import dtypes
from recipes.machine.backend import start_keras
from recipes.run import Run
from recipes.training.train import train_and_judge

# Side of the inputs, channels in, channels out, side of the kernel, padding, whether the kernel learns.
CONVOLUTIONS = (
    (32, 3, 24, 2, "VALID", False),
    (31, 24, 64, 3, "SAME", True),
    (15, 64, 64, 3, "SAME", True),
    (15, 64, 256, 3, "SAME", True),
    (7, 256, 256, 3, "SAME", True),
    (7, 256, 256, 3, "SAME", True),
    (3, 256, 256, 3, "SAME", True),
)


def recipe_of(asked):
    given = {"data": "cifar10"}
    for name in ("seed", "epochs", "activation", "batch_size", "train_images"):
        value = getattr(asked, name, None)
        given |= {} if value is None else {name: value}
    return Cifar10Fast.from_preset(**given)


def train(asked):
    """Train once; the clock covers all but reading the images: whitening, compiling, checkpoints and judging too."""
    recipe = recipe_of(asked)
    images = recipe.load(asked.data_dir)
    with tempfile.TemporaryDirectory() as directory, Run(recipe, directory) as run:
        run.begin(images.about())
        start = time.perf_counter()
        with dtypes.policy("bfloat16"):
            result = train_and_judge(recipe, run, images)
        seconds = time.perf_counter() - start
    trained = len(images.train[1]) * recipe.epochs
    return {
        "seed": recipe.seed,
        "test_accuracy": result["test_accuracy_of_one_view"],
        "test_accuracy_tta": result["test_accuracy"],
        "seconds": seconds,
        "training_seconds": result["training_seconds"],
        "updates": result["updates"],
        "epochs": recipe.epochs,
        "images_per_second": trained / result["training_seconds"],
    }


def steps(asked):
    """Seconds of k training steps, as a function of k."""
    import tensorflow as tf

    recipe = recipe_of(asked)
    x, y = random_batch(recipe.batch_size)
    part = x.astype("uint8"), y
    images = Images("random", tuple("0123456789"), part, part, part, {}, "")
    with dtypes.policy("bfloat16"):
        model = recipe.model(images)
    model.make_train_function()
    targets = np.eye(10, dtype="float32")[y]
    batches = iter(tf.data.Dataset.from_tensors((part[0], targets)).repeat())

    def make(count):
        for _ in range(count):
            logs = model.train_function(batches)
        float(logs["loss"])

    return make


def convolutions(asked):
    """The same for the convolutions of a step alone."""
    import tensorflow as tf

    n, ones = asked.batch_size, [1, 1, 1, 1]
    made = []
    for side, inputs, outputs, kernel, padding, _ in CONVOLUTIONS:
        after = side if padding == "SAME" else side - kernel + 1
        shapes = (n, side, side, inputs), (kernel, kernel, inputs, outputs), (n, after, after, outputs)
        made.append([tf.cast(tf.random.normal(shape), tf.bfloat16) for shape in shapes])

    @tf.function(jit_compile=False)
    def step():
        results = []
        for (x, w, g), (_, _, _, _, padding, learns) in zip(made, CONVOLUTIONS, strict=True):
            results.append(tf.nn.conv2d(x, w, 1, padding))
            if not learns:
                continue
            if w is not made[1][1]:  # nothing before it learns
                given = {"input_sizes": x.shape, "filter": w, "out_backprop": g, "strides": ones, "padding": padding}
                results.append(tf.raw_ops.Conv2DBackpropInput(**given))
            given = {"input": x, "filter_sizes": w.shape, "out_backprop": g, "strides": ones, "padding": padding}
            results.append(tf.raw_ops.Conv2DBackpropFilter(**given))
        return [result[0, 0, 0, 0] for result in results]

    def make(count):
        for _ in range(count):
            done = step()
        done[-1].numpy()

    return make


def random_batch(batch_size):
    """Images and labels that have nothing in them."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch_size, 32, 32, 3)), rng.integers(0, 10, batch_size).astype("int32")


def serve(make):
    """Say "ready" after two steps; for each line with an integer k make k steps and answer with their seconds."""
    make(2)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        make(int(line))
        print(time.perf_counter() - start, flush=True)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    train_parser = commands.add_parser("train")
    train_parser.add_argument("--data-dir")
    train_parser.add_argument("--seed", type=int, default=0)
    train_parser.add_argument("--epochs", type=int)
    train_parser.add_argument("--train-images", type=int)
    for name in ("steps", "convolutions"):
        worker = commands.add_parser(name)
        worker.add_argument("--activation")
        worker.add_argument("--batch-size", type=int, default=500)
    asked = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    start_keras()
    if asked.command == "train":
        print(json.dumps(train(asked)))
    else:
        serve({"steps": steps, "convolutions": convolutions}[asked.command](asked))


if __name__ == "__main__":
    main()
