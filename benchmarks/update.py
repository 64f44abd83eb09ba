"""What an update costs, with momentum and a clip by the global norm, beside Keras's SGD and optax.

10.5 million parameters in 20 tensors, gradients that are there already. Each contender is one compiled function: on
TensorFlow a tf.function, with and without XLA; on JAX one with its state donated, as `fit` calls it. An update every
step, and one every 8 micro-steps. Each round times 8 steps of every contender one after the other; ratios are taken
within a round.

Beside the times stand the bytes that an update cannot do without (the gradient is read for its norm, and once more with
velocity and weights, which are written) and how fast they went, as a share of how fast this machine copies within the
same working set. A copy moves three bytes for two: a processor reads the lines that it is about to write.

    python -m benchmarks.update
    KERAS_BACKEND=jax python -m benchmarks.update
"""

import concurrent.futures
import functools
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

from benchmarks.record import ratios, write
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm

BACKEND = keras.backend.backend()
ROUNDS, STEPS, WINDOW = 15, 8, 8
TENSORS, SHAPE = 20, (1024, 512)
PARAMETERS = TENSORS * SHAPE[0] * SHAPE[1]
BYTES = 4 * PARAMETERS * (1 + 3 + 2)  # the norm reads g; the rule reads g, v and w, and writes v and w
WORKING_SET = 4 * PARAMETERS * 3  # g, v and w


def ours(steps=None):
    return BatchGD(0.1, momentum=0.9, clipping=ByGlobalNorm(1.0), gradient_accumulation_steps=steps)


def theirs(steps=None):
    return keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=1.0, gradient_accumulation_steps=steps)


def variables():
    return [keras.Variable(np.ones(SHAPE, "float32")) for _ in range(TENSORS)]


def on_tensorflow(optimizer, jit_compile):
    """A function that makes a step, and one that waits for it."""
    import tensorflow as tf

    weights = variables()
    gradients = [tf.fill(SHAPE, 1e-3) for _ in weights]
    optimizer.build(weights)

    @tf.function(jit_compile=jit_compile)
    def step(gradients):
        optimizer.apply(gradients, weights)
        return tf.convert_to_tensor(optimizer.iterations) + 0

    return lambda: step(gradients), lambda outcome: outcome.numpy()


def on_jax(apply, state):
    """The same for `apply(state, gradients)`, which returns the state after."""
    import jax
    from jax import numpy as jnp

    gradients = [jnp.full(SHAPE, 1e-3) for _ in range(TENSORS)]
    compiled, held = jax.jit(apply, donate_argnums=0), [jax.tree.map(jnp.copy, state)]

    def step():
        held[0] = compiled(held[0], gradients)
        return held[0]

    return step, jax.block_until_ready


def keras_on_jax(optimizer):
    weights = variables()
    optimizer.build(weights)
    state = [v.value for v in weights], [v.value for v in optimizer.variables]
    return on_jax(lambda state, gradients: optimizer.stateless_apply(state[1], gradients, state[0]), state)


def optax_on_jax(transform):
    import optax

    def apply(state, gradients):
        updates, inner = transform.update(gradients, state[1], state[0])
        return optax.apply_updates(state[0], updates), inner

    weights = [v.value for v in variables()]
    return on_jax(apply, (weights, transform.init(weights)))


def contenders():
    if BACKEND == "tensorflow":
        made = {
            f"{name}{kind}{mode}": on_tensorflow(make(steps), jit)
            for steps, kind in ((None, ", update"), (WINDOW, f", one in {WINDOW}"))
            for jit, mode in ((False, ""), (True, ", XLA"))
            for name, make in (("BatchGD", ours), ("Keras SGD", theirs))
        }
    else:
        import optax

        sgd = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9))
        made = {
            "BatchGD, update": keras_on_jax(ours()),
            "Keras SGD, update": keras_on_jax(theirs()),
            "optax, update": optax_on_jax(sgd),
            f"BatchGD, one in {WINDOW}": keras_on_jax(ours(WINDOW)),
            f"Keras SGD, one in {WINDOW}": keras_on_jax(theirs(WINDOW)),
            f"optax.MultiSteps, one in {WINDOW}": optax_on_jax(optax.MultiSteps(sgd, WINDOW)),
        }
    return {**made, "copy": copying()}


def copying():
    """Copying one half of the working set to the other, on as many threads as the machine has cores."""
    threads = os.cpu_count()
    pairs = [tuple(np.ones(WORKING_SET // 8 // threads, "float32") for _ in "ab") for _ in range(threads)]
    pool = concurrent.futures.ThreadPoolExecutor(threads)

    def step():
        return list(pool.map(lambda pair: np.copyto(*pair), pairs))

    return step, lambda outcome: None


def measure():
    """Seconds a step of each contender, a list of one a round."""
    made = contenders()
    seconds = {name: [] for name in made}
    for counted in [False, *[True] * ROUNDS]:  # the first round compiles
        for name, (step, wait) in made.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                outcome = step()
            wait(outcome)
            if counted:
                seconds[name].append((time.perf_counter() - start) / STEPS)
    return seconds


def fastest(seconds, *names):
    """Seconds of the contender that is fastest by its median."""
    return min((seconds[name] for name in names), key=statistics.median)


def compared(seconds):
    """Pairs of lists of seconds by what is divided by what."""
    update, one_in = "update", f"one in {WINDOW}"
    of = functools.partial(fastest, seconds)
    if BACKEND == "jax":
        return {
            "BatchGD / optax, update": (of("BatchGD, update"), of("optax, update")),
            "BatchGD / Keras SGD, update": (of("BatchGD, update"), of("Keras SGD, update")),
            f"BatchGD / optax.MultiSteps, {one_in}": (
                of(f"BatchGD, {one_in}"),
                of(f"optax.MultiSteps, {one_in}"),
            ),
            f"BatchGD / Keras SGD, {one_in}": (of(f"BatchGD, {one_in}"), of(f"Keras SGD, {one_in}")),
        }
    return {
        f"BatchGD / the faster Keras SGD, {kind}": (
            of(f"BatchGD, {kind}"),
            of(f"Keras SGD, {kind}", f"Keras SGD, {kind}, XLA"),
        )
        for kind in (update, one_in)
    } | {
        f"BatchGD / Keras SGD, both with XLA, {kind}": (of(f"BatchGD, {kind}, XLA"), of(f"Keras SGD, {kind}, XLA"))
        for kind in (update, one_in)
    }


def main():
    seconds = measure()
    pairs = {name: ratios({"a": above, "b": below}, "a", "b") for name, (above, below) in compared(seconds).items()}
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    copied = 1.5 * WORKING_SET / medians["copy"]  # bytes a second
    result = {
        "parameters": PARAMETERS,
        "tensors": TENSORS,
        "rounds": ROUNDS,
        "median_ms": {name: 1000 * value for name, value in medians.items()},
        "ratios": pairs,
        "bytes_of_an_update": BYTES,
        "copied_bytes_a_second": copied,
        "share_of_copy_bandwidth": {
            name: BYTES / value / copied for name, value in medians.items() if ", update" in name
        },
    }
    print(f"{PARAMETERS:,} parameters in {TENSORS} tensors on {BACKEND}, {ROUNDS} rounds")
    for name, value in result["median_ms"].items():
        print(f"  {name:36} {value:8.2f} ms")
    for name, value in pairs.items():
        print("  {:56} {median:8.3f}   ({min:.3f} to {max:.3f})".format(name, **value))
    for name, share in result["share_of_copy_bandwidth"].items():
        print(f"  {name}: {BYTES / 1e6:.0f} MB at {share:.0%} of the speed of copying")
    write(f"update_{BACKEND}", result)


if __name__ == "__main__":
    main()
