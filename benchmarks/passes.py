"""What a pass costs beside its arithmetic: epochs of `fit`, and many passes in one call, beside hand-written loops.

A tanh network 3×20 on 2,000 points, and the group-normalised CNN on the training part of the digits. Each round times
every contender one after the other, and ratios are taken within a round. An epoch is one update: Keras's SGD in one
batch, `FullBatch` in one and in four. Many updates in one call (100, of the CNN 10) stand beside the fastest loop that
one would write by hand: `jax.lax.scan` or a loop of Python, `tf.while_loop` under `tf.function` with or without XLA,
and a loop of torch with `torch._foreach_add_`. All are written in one batch, and in four whose gradients are added up.
Without XLA TensorFlow computes the four at once, on both cores and in the memory of one batch; "in turn" it does not.
Those of the small network use the backend alone, those of the CNN call the Keras model, and none computes anything but
loss, gradient and update.

Then, in processes of their own: seconds until the first epoch of 10, 100 and 1,000 passes is over, less what its passes
take, and peak memory.

    python -m benchmarks.passes
    KERAS_BACKEND=jax python -m benchmarks.passes
    KERAS_BACKEND=torch python -m benchmarks.passes
"""

import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

from benchmarks.record import ratios, write
from callbacks import FullBatch
from custom_optimizers import BatchGD
from recipes.data import load
from recipes.models import groupnorm

BACKEND = keras.backend.backend()
RATE = 0.1
UPDATES = {"mlp": 100, "cnn": 10}  # in a call
ROUNDS = {"mlp": 7, "cnn": 5}
EPOCHS = {"mlp": 30, "cnn": 8}  # of one update, in a round
CALLS = 6  # of many updates, in a round
COUNTS = (10, 100, 1000)  # of passes in a call


def mlp():
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(20, "tanh") for _ in range(3)]
    return keras.Sequential([keras.Input((2,)), *hidden, keras.layers.Dense(1)])


def points():
    x = np.random.default_rng(0).random((2000, 2)).astype("float32")
    return x, np.sin(3 * x[:, :1]) * x[:, 1:]


def cnn():
    keras.utils.set_random_seed(0)
    return groupnorm((8, 8, 1), 10)


def digits():
    return load("digits", shape=(8, 8, 1)).train


LOSSES = {"mlp": "mse", "cnn": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
MODELS = {"mlp": (mlp, points), "cnn": (cnn, digits)}


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, from the beginning of one to that of the next."""

    def __init__(self):
        super().__init__()
        self.starts = []

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.append(time.perf_counter())

    @property
    def seconds(self):
        return np.diff(self.starts)[2:]  # the first ones compile


def epochs(kind, optimizer, passes, micro_batches, jit_compile="auto"):
    """A function that gives the median seconds of an update in a `fit` of its own."""
    make, data = MODELS[kind]
    x, y = data()

    def seconds():
        model, clock = make(), Clock()
        model.compile(optimizer(), LOSSES[kind], jit_compile=jit_compile)
        more = [FullBatch(passes_per_epoch=passes)] if passes else []
        count = EPOCHS[kind] if passes in (0, 1) else CALLS + 1
        size = -(-len(x) // micro_batches)
        model.fit(x, y, batch_size=size, epochs=count, shuffle=False, verbose=0, callbacks=[clock, *more])
        return float(np.median(clock.seconds)) / max(passes, 1)

    return seconds


def timed(kind, run):
    """A function that gives the median seconds of an update of `run`, which makes `UPDATES[kind]` of them and waits.

    As in a `fit`, the first calls do not count: after something else has run, they take up to twice as long.
    """

    def seconds():
        starts = [time.perf_counter()]
        for _ in range(CALLS):
            run()
            starts.append(time.perf_counter())
        return float(np.median(np.diff(starts)[2:])) / UPDATES[kind]

    return seconds


def parts_of(kind, count, convert):
    """The data in `count` micro-batches, each with its share of the samples."""
    x, y = MODELS[kind][1]()
    size = -(-len(x) // count)
    cut = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    return [(convert(a), convert(b), len(a) / len(x)) for a, b in cut]


def by_hand_on_jax(kind, micro_batches=1):
    import jax
    from jax import numpy as jnp

    model, parts = MODELS[kind][0](), parts_of(kind, micro_batches, jnp.asarray)

    def loss(weights, x, y):
        if kind == "cnn":
            logits = model.stateless_call(weights, [], x)[0]
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None].astype("int32"), axis=1)
            return -chosen.mean()
        out = x
        for i in range(0, 6, 2):
            out = jnp.tanh(out @ weights[i] + weights[i + 1])
        return jnp.square(out @ weights[6] + weights[7] - y).mean()

    def update(weights, _):
        found = [(*jax.value_and_grad(loss)(weights, x, y), share) for x, y, share in parts]
        total = [sum(g[i] * share for _, g, share in found) for i in range(len(weights))]
        return [w - RATE * g for w, g in zip(weights, total, strict=True)], sum(v * share for v, _, share in found)

    @functools.partial(jax.jit, donate_argnums=0)
    def many(weights):
        return jax.lax.scan(update, weights, None, length=UPDATES[kind])

    one = jax.jit(update, donate_argnums=0)

    def in_python(weights):
        for _ in range(UPDATES[kind]):
            weights, value = one(weights, None)
        return weights, value

    def timed_from_the_beginning(run):
        held = [[jnp.array(v.value) for v in model.trainable_variables]]

        def run_on():
            held[0], losses = run(held[0])
            losses.block_until_ready()

        return timed(kind, run_on)

    return {"by hand, scan": timed_from_the_beginning(many), "by hand, Python": timed_from_the_beginning(in_python)}


def by_hand_on_tensorflow(kind, micro_batches=1):
    import tensorflow as tf

    def made(jit_compile, in_turn=False):
        model, parts = MODELS[kind][0](), parts_of(kind, micro_batches, tf.constant)
        weights = [v.value for v in model.trainable_variables]

        def loss(x, y):
            if kind == "cnn":
                return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x)))
            out = x
            for i in range(0, 6, 2):
                out = tf.tanh(out @ weights[i] + weights[i + 1])
            return tf.reduce_mean(tf.square(out @ weights[6] + weights[7] - y))

        def added(i, sums, x, y, share):
            with tf.GradientTape() as tape:
                value = loss(x, y) * share
            return i + 1, [a + b for a, b in zip(sums, [value, *tape.gradient(value, weights)], strict=True)]

        def sums_of_all():
            sums = [tf.zeros(()), *map(tf.zeros_like, weights)]
            if not in_turn:
                for part in parts:
                    _, sums = added(0, sums, *part)
                return sums
            least = min(len(x) for x, _, _ in parts)  # they have to be of one size
            xs, ys = (tf.stack([each[i][:least] for each in parts]) for i in (0, 1))
            share = 1 / micro_batches

            def one(i, sums):
                return added(i, sums, xs[i], ys[i], share)

            return tf.while_loop(lambda i, _: i < micro_batches, one, (0, sums), parallel_iterations=1)[1]

        def update(i, _):
            value, *gradients = sums_of_all()
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.assign_sub(RATE * gradient)
            return i + 1, value

        @tf.function(jit_compile=jit_compile)
        def many():
            return tf.while_loop(lambda i, _: i < UPDATES[kind], update, (0, 0.0))[1]

        return timed(kind, lambda: many().numpy())

    found = {"by hand, XLA": made(True), "by hand, no XLA": made(False)}
    if micro_batches > 1:
        found["by hand, no XLA, in turn"] = made(False, in_turn=True)
    return found


def by_hand_on_torch(kind, micro_batches=1):
    import torch

    parts = parts_of(kind, micro_batches, torch.tensor)
    if kind == "mlp":
        sizes = ((2, 20), (20, 20), (20, 20))
        stack = [each for size in sizes for each in (torch.nn.Linear(*size), torch.nn.Tanh())]
        model, loss = torch.nn.Sequential(*stack, torch.nn.Linear(20, 1)), torch.nn.functional.mse_loss
    else:
        model, loss = MODELS[kind][0](), torch.nn.functional.cross_entropy
        parts = [(x, y.long(), share) for x, y, share in parts]
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def run():
        for _ in range(UPDATES[kind]):
            found = [(torch.autograd.grad(loss(model(x), y), weights), share) for x, y, share in parts]
            with torch.no_grad():
                for gradients, share in found:  # the parts are of one and the same point
                    torch._foreach_add_(weights, gradients, alpha=-RATE * share)

    return {"by hand": timed(kind, run)}


BY_HAND = {"jax": by_hand_on_jax, "tensorflow": by_hand_on_tensorflow, "torch": by_hand_on_torch}


def measure(kind):
    """Seconds of an update by contender, a list of one a round."""
    gd = functools.partial(BatchGD, RATE)
    made = {
        "Keras SGD, an epoch": epochs(kind, functools.partial(keras.optimizers.SGD, RATE), 0, 1),
        "FullBatch, an epoch": epochs(kind, gd, 1, 1),
        "FullBatch, an epoch of 4": epochs(kind, gd, 1, 4),
        "FullBatch, many passes": epochs(kind, gd, UPDATES[kind], 1),
        "FullBatch, many passes of 4": epochs(kind, gd, UPDATES[kind], 4),
        **(compiled_by_xla(gd) if (kind, BACKEND) == ("mlp", "tensorflow") else {}),
        **BY_HAND[BACKEND](kind),
        **{f"{name}, of 4": each for name, each in BY_HAND[BACKEND](kind, 4).items()},
    }
    seconds = {name: [] for name in made}
    for counted in [False, *[True] * ROUNDS[kind]]:
        for name, contender in made.items():
            found = contender()
            if counted:
                seconds[name].append(found)
    return seconds


def compiled_by_xla(gd):
    """Contenders with `jit_compile=True`, which is not Keras's default where there are only processors."""
    count = UPDATES["mlp"]
    return {
        "FullBatch, many passes, XLA": epochs("mlp", gd, count, 1, jit_compile=True),
        "FullBatch, many passes of 4, XLA": epochs("mlp", gd, count, 4, jit_compile=True),
    }


def fastest(seconds, of_four):
    """The fastest of the loops by hand, in one micro-batch or in four, on whatever memory."""
    names = [name for name in seconds if name.startswith("by hand") and name.endswith(", of 4") == of_four]
    return min(names, key=lambda name: statistics.median(seconds[name]))


def compared(seconds):
    by_hand, of_four = fastest(seconds, False), fastest(seconds, True)
    pairs = [
        ("FullBatch, an epoch", "Keras SGD, an epoch"),
        ("FullBatch, many passes", by_hand),
        ("FullBatch, many passes of 4", of_four),
        ("FullBatch, many passes of 4", "by hand, no XLA, in turn, of 4"),
        ("FullBatch, many passes of 4", by_hand),
        ("FullBatch, many passes of 4", "FullBatch, many passes"),
        ("FullBatch, many passes, XLA", by_hand),
        ("FullBatch, many passes of 4, XLA", of_four),
        ("FullBatch, many passes of 4, XLA", "FullBatch, many passes, XLA"),
    ]
    return {
        f"{one} / {other}": ratios(seconds, one, other) for one, other in pairs if one in seconds and other in seconds
    }


def compile_once(passes):
    """In a process of its own: seconds that the first epoch took beyond its passes, and peak memory."""
    (x, y), model, clock = points(), mlp(), Clock()
    model.compile(BatchGD(RATE), "mse")
    more = [clock, FullBatch(passes_per_epoch=passes)]
    model.fit(x, y, batch_size=500, epochs=4, shuffle=False, verbose=0, callbacks=more)
    first, *others = np.diff(clock.starts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(json.dumps({"compile_seconds": first - float(np.median(others)), "peak_mib": peak}))


def growth():
    """The figures of `compile_once` by the number of passes."""
    found = {}
    for passes in COUNTS:
        command = [sys.executable, "-m", "benchmarks.passes", str(passes)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found[passes] = json.loads(done.stdout.splitlines()[-1])
    return found


def main():
    result = {"updates": UPDATES, "rounds": ROUNDS, "by_passes": growth()}
    for kind in MODELS:
        seconds = measure(kind)
        medians = {name: 1000 * statistics.median(each) for name, each in seconds.items()}
        result[kind] = {"median_ms_of_an_update": medians, "ratios": compared(seconds)}
        print(f"{kind} on {BACKEND}, {ROUNDS[kind]} rounds")
        for name, value in medians.items():
            print(f"  {name:34} {value:9.3f} ms")
        for name, value in result[kind]["ratios"].items():
            print("  {:66} {median:8.3f}   ({min:.3f} to {max:.3f})".format(name, **value))
    for passes, found in result["by_passes"].items():
        print("  {:5} passes: {compile_seconds:.2f} s to compile, {peak_mib:.0f} MiB".format(passes, **found))
    write(f"passes_{BACKEND}", result)


if __name__ == "__main__":
    compile_once(int(sys.argv[1])) if len(sys.argv) > 1 else main()
