"""Callbacks that change the training step, alone and in pairs, beside weights, regularisers, masks, dropout and more.

Each is held to a reference in float64 NumPy that is written from the formulas, or has to be refused in one line.
"""

import contextlib
import functools
import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from callbacks import BlockGradient, FullBatch, GradientMonitor, GradientRegularizer, SharpnessAware
from custom_optimizers import BatchGD

BACKEND = keras.backend.backend()
N, BATCH, BLOCK, RATE, RHO, STRENGTH = 20, 8, 4, 0.1, 0.3, 2.0  # batches of 8, 8 and 4
L2, ADDED, ACTIVITY = 0.05, 0.3, 0.2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2, 3)).astype("float32")  # (samples, steps, features)
Y = np.eye(2, dtype="float32")[RNG.integers(2, size=(N, 2))]
HIDDEN = X[:, 0] + 0, Y[:, 0] + 0  # the first step alone, for what has no steps
WEIGHTS = RNG.uniform(0.2, 3, N).astype("float32")
CLASSES = {0: 5.0, 1: 0.3}

# Conditions: what of the loss or of the computation is other than plain


class Adds(layers.Layer):
    """Adds the mean square of what goes through it to the loss."""

    def call(self, x):
        self.add_loss(ADDED * ops.mean(ops.square(x)))
        return x


def network(condition, dropout=None):
    """One hidden layer of 4, with what the condition says."""
    regularizer = keras.regularizers.L2(L2) if condition == "regularisers" else None
    activity = keras.regularizers.L2(ACTIVITY) if condition.startswith("activity") else None
    return keras.Sequential(
        [
            keras.Input((2, 3) if condition == "mask" else (3,)),
            *([layers.Masking()] if condition == "mask" else []),
            layers.Dense(4, "tanh", kernel_regularizer=regularizer),
            *([layers.Dropout(0.5)] if condition == "dropout" else []),
            *([Adds()] if condition.startswith("add_loss") else []),
            layers.Dense(2, kernel_regularizer=regularizer, activity_regularizer=activity),
        ]
    )


@contextlib.contextmanager
def policy_of(condition):
    keras.config.set_dtype_policy(condition if condition.startswith("mixed") else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def made_with(condition):
    if condition == "loss scale":
        return BatchGD(RATE, loss_scale_factor=1024.0)
    if condition == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(BatchGD(RATE), initial_scale=8.0)
    return BatchGD(RATE)


CONDITIONS = {  # the error that the arithmetic of the condition allows, of the change of the weights
    "plain": 1e-5,
    "weights": 1e-5,
    "class weights": 1e-5,
    "regularisers": 1e-5,
    "add_loss": 1e-5,
    "add_loss declared": 1e-5,
    "activity": 1e-5,
    "activity declared": 1e-5,
    "mask": 1e-5,
    "loss scale": 1e-5,
    "mixed_bfloat16": 3e-2,
    "mixed_float16": 3e-3,
    "dropout": 1e-5,
}

# The reference


def rows_of(condition, at):
    """`(x, y, coefficient of each row in the loss)` of some samples, as Keras's mean has them."""
    if condition == "mask":
        x, y = X[at].reshape(-1, 3), Y[at].reshape(-1, 2)
        seen = (np.arange(2 * N) % 7 != 3).reshape(N, 2)[at].ravel()
        return np.where(seen[:, None], x, 0), y, seen / seen.sum()
    x, y = (part[at] for part in HIDDEN)
    weights = {"weights": WEIGHTS[at], "class weights": np.array([CLASSES[i] for i in y.argmax(1)])}
    return x, y, weights.get(condition, np.ones(len(x))) / len(x)


def gradient_of(condition, at, keep, weights):
    """The gradient of some samples in float64, written out; `keep` is dropout's mask times two."""
    x, y, coefficients = (part.astype("float64") for part in rows_of(condition, at))
    w, b, v, c = weights
    hidden = np.tanh(x @ w + b)
    dropped = hidden * keep
    out = dropped @ v + c
    of_out = coefficients[:, None] * (out - y)  # 2 / 2 outputs
    if condition.startswith("activity"):
        of_out = of_out + 2 * ACTIVITY * out / len(x)
    of_dropped = of_out @ v.T
    if condition.startswith("add_loss"):
        of_dropped = of_dropped + 2 * ADDED * dropped / dropped.size
    of_inside = of_dropped * keep * (1 - hidden**2)
    gradient = [x.T @ of_inside, of_inside.sum(0), dropped.T @ of_out, of_out.sum(0)]
    if condition == "regularisers":
        gradient = [gradient[0] + 2 * L2 * w, gradient[1], gradient[2] + 2 * L2 * v, gradient[3]]
    return gradient


def moved(weights, step, direction):
    return [w + step * d for w, d in zip(weights, direction, strict=True)]


def weight_of(condition, at):
    """The mean weight of some samples."""
    return np.sum(rows_of(condition, at)[2])


def plain(at, weights, weight=1.0):
    return at(weights)


def sharpness_aware(at, weights, weight):
    gradient = at(weights)
    norm = np.sqrt(sum(np.sum(g**2) for g in gradient))
    return at(moved(weights, RHO / norm, gradient))


def regularised(at, weights, weight):
    """The product with the Hessian by central differences, whose error is 1e-10 here."""
    gradient, e = at(weights), 1e-5
    there, back = at(moved(weights, e, gradient)), at(moved(weights, -e, gradient))
    product = [STRENGTH / weight * (t - b) / (2 * e) for t, b in zip(there, back, strict=True)]
    return moved(gradient, RATE / 4, product)


# Callbacks

CALLBACKS = {
    "FullBatch": (lambda declared: FullBatch("mean" if declared else None), None),
    "BlockGradient": (lambda declared: BlockGradient(BLOCK, "mean" if declared else None), plain),
    "SharpnessAware": (lambda declared: SharpnessAware(RHO), sharpness_aware),
    "GradientRegularizer": (lambda declared: GradientRegularizer(STRENGTH, "hessian"), regularised),
    "GradientMonitor": (lambda declared: GradientMonitor(), None),
}
MAKERS = {"BlockGradient", "SharpnessAware", "GradientRegularizer"}
LISTS = [[name] for name in CALLBACKS] + [list(pair) for pair in itertools.permutations(CALLBACKS, 2)]


def refusal(names, condition):
    """What the message has to say where these cannot be exact; None where they have to be."""
    if len(MAKERS & set(names)) > 1:
        return "both make the training step"
    if "FullBatch" in names or "BlockGradient" in names:
        return {"add_loss": "adds a loss", "activity": "adds a loss", "mask": "is masked"}.get(condition)
    return None


def blocks_of(names, devices=1):
    """The samples of each block, by batches; of several devices of TensorFlow each takes its part of a batch."""
    for start in range(0, N, BATCH):
        parts = np.split(np.arange(start, min(start + BATCH, N)), devices)
        size = BLOCK if "BlockGradient" in names else len(parts[0])
        yield [part[i : i + size] for part in parts for i in range(0, len(part), size)]


def by_formula(names, condition, weights, masks, devices=1):
    """The weights after a pass: an update for each batch, or with FullBatch one."""
    rule = next((CALLBACKS[name][1] for name in names if name in MAKERS), plain)
    total, masks = [np.zeros(w.shape) for w in weights], iter(masks)
    for blocks in blocks_of(names, devices):
        gradient = [np.zeros(w.shape) for w in weights]
        for block in blocks:
            keep = next(masks) if condition == "dropout" else 1.0
            gradient_at = functools.partial(gradient_of, condition, block, keep)
            found = rule(gradient_at, weights, weight_of(condition, block))
            gradient = moved(gradient, 1 / len(blocks), found)
        if "FullBatch" in names:
            total = moved(total, sum(map(len, blocks)) / N, gradient)
        else:
            weights = moved(weights, -RATE, gradient)
    return moved(weights, -RATE, total) if "FullBatch" in names else weights


def seed_torch(batch, logs=None):
    """Dropout without a seed draws from torch's own generator there, and so do torch's loaders of data."""
    if BACKEND == "torch":
        import torch

        torch.manual_seed(batch)


def masks_of(model, names):
    """What the model's dropout keeps of each block, drawn from the state that training will begin with."""
    layer = next(layer for layer in model.layers if isinstance(layer, layers.Dropout))
    state, masks = layer.seed_generator.state, []
    before = ops.convert_to_numpy(state).copy()
    for batch, blocks in enumerate(blocks_of(names)):
        seed_torch(batch)
        masks += [ops.convert_to_numpy(layer(ops.ones((len(block), 4)), training=True)) for block in blocks]
    state.assign(before)
    return [mask.astype("float64") for mask in masks]


def fit(model, names, condition):
    declared = condition.endswith("declared")
    x, y, _ = rows_of(condition, np.arange(N))
    if condition == "mask":
        x, y = x.reshape(N, 2, 3), y.reshape(N, 2, 2)
    options = {"weights": {"sample_weight": WEIGHTS}, "class weights": {"class_weight": CLASSES}}.get(condition, {})
    seeds = keras.callbacks.LambdaCallback(on_train_batch_begin=seed_torch)
    callbacks = [seeds, *(CALLBACKS[name][0](declared) for name in names)]
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks, **options)


def check(names, condition, compiled=False, scope=contextlib.nullcontext, devices=1):
    keras.utils.set_random_seed(5)
    with policy_of(condition), scope():
        model = network(condition)
        model.compile(made_with(condition), "mse", run_eagerly=not compiled)
    before = [ops.convert_to_numpy(v).astype("float64") for v in model.trainable_variables]
    masks = masks_of(model, names) if condition == "dropout" else []
    message = refusal(names, condition)
    if message is not None:
        with pytest.raises(ValueError, match=message) as error:
            fit(model, names, condition)
        assert "\n" not in str(error.value)
        return
    fit(model, names, condition)
    after = [ops.convert_to_numpy(v).astype("float64") for v in model.trainable_variables]
    wanted = by_formula(names, condition, before, masks, devices)
    error = np.sqrt(sum(np.sum((a - w) ** 2) for a, w in zip(after, wanted, strict=True)))
    size = np.sqrt(sum(np.sum((w - b) ** 2) for w, b in zip(wanted, before, strict=True)))
    assert error < CONDITIONS[condition] * size


def cases():
    """25 lists of callbacks under 13 conditions; the second order and the monitor of most are quick on torch alone."""
    for condition, names in itertools.product(CONDITIONS, LISTS):
        turned = len(names) > 1 and list(CALLBACKS).index(names[0]) > list(CALLBACKS).index(names[1])
        rare = turned or "GradientMonitor" in names
        is_slow = rare and BACKEND != "torch" and condition != "weights"
        marks = [pytest.mark.slow] if is_slow else []
        yield pytest.param(condition, names, marks=marks, id=f"{condition}-{'-'.join(names)}")


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(("condition", "names"), list(cases()))
def test_exact_or_refused(condition, names):
    """Without a graph."""
    check(names, condition)


COMPILED = [["FullBatch"], ["BlockGradient"], ["SharpnessAware", "FullBatch"], ["GradientRegularizer"]]


OFTEN = (
    "plain",
    "weights",
    "dropout",
    "mask",
    "loss scale",
    "mixed_bfloat16",
)  # conditions that are compiled each time


def compiled():
    for condition, names in itertools.product(CONDITIONS, COMPILED):
        is_slow = condition not in OFTEN and names != ["FullBatch"]
        marks = [pytest.mark.slow] if is_slow else []
        yield pytest.param(condition, names, marks=marks, id=f"{condition}-{'-'.join(names)}")


@pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing")
@pytest.mark.parametrize(("condition", "names"), list(compiled()))
def test_exact_or_refused_when_compiled(condition, names):
    check(names, condition, compiled=True)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing")
@pytest.mark.parametrize("names", [names for names in LISTS if names not in COMPILED], ids="-".join)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_exact_or_refused_when_compiled_in_any_order(condition, names):
    check(names, condition, compiled=True)


ON_DEVICES = [["FullBatch"], ["FullBatch", "BlockGradient"], ["FullBatch", "SharpnessAware"], ["GradientRegularizer"]]
OF_ONE_DEVICE = ("mask", "dropout")  # a mean over a device's own unmasked, and masks of its own


def on_devices():
    for condition, names in itertools.product(CONDITIONS, ON_DEVICES):
        if condition not in OF_ONE_DEVICE:
            is_slow = condition != "weights"
            marks = [pytest.mark.slow] if is_slow else []
            yield pytest.param(condition, names, marks=marks, id=f"{condition}-{'-'.join(names)}")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="MirroredStrategy is of TensorFlow")
@pytest.mark.parametrize(("condition", "names"), list(on_devices()))
def test_exact_or_refused_on_two_devices(condition, names):
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    check(names, condition, True, strategy.scope, devices=2)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="DataParallel is of JAX")
def test_exact_or_refused_on_two_devices_of_jax():
    """In a process that has two; a batch is one there, whatever device its samples lie on."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    found = subprocess.run([sys.executable, "-m", __name__], env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.strip() == str(len(list(on_devices())))


if __name__ == "__main__":
    devices = keras.distribution.list_devices()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
    for case in on_devices():
        check(case.values[1], case.values[0], True)
    print(len(list(on_devices())) if len(devices) == 2 else "one device")
