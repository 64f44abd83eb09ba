"""What an accumulating micro-step costs on JAX, beside Keras's own accumulation and `optax.MultiSteps`.

10.6 million parameters in 52 arrays, gradients that are there already, momentum 0.9, one compiled function for each
contender with its state donated, as `fit` calls it. Each round times a few steps of every contender one after the
other; ratios are taken within a round.

    KERAS_BACKEND=jax python -m benchmarks.accumulation_jax
"""

import functools
import math
import os
import statistics
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import optax
from jax import numpy as jnp

from benchmarks.record import ratios, write
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm

ROUNDS, STEPS = 15, 8
NEVER = 10**6  # micro-batches in a window that does not end here
SHAPES = [(3, 3, 64, 128)] * 16 + [(2048, 2048), (2048, 1024), (1024, 1024), (1024, 2048)] + [(512,)] * 32


def arrays(value):
    return [jnp.full(shape, value, jnp.float32) for shape in SHAPES]


def of_keras(optimizer):
    """`(step, state)` of a Keras optimizer, as `fit` calls it."""
    variables = [keras.Variable(array) for array in arrays(1.0)]
    optimizer.build(variables)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, gradients):
        values, inner = state
        return optimizer.stateless_apply(inner, gradients, values)

    return step, ([v.value for v in variables], [v.value for v in optimizer.variables])


def of_optax(optimizer):
    """`(step, state)` of an optax optimizer."""

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, gradients):
        values, inner = state
        updates, inner = optimizer.update(gradients, inner, values)
        return optax.apply_updates(values, updates), inner

    values = arrays(1.0)
    return step, (values, optimizer.init(values))


def bare():
    """Adding up and nothing else: the least that accumulation can cost."""

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, gradients):
        return [total + 128.0 * gradient for total, gradient in zip(state, gradients, strict=True)]

    return step, arrays(0.0)


def contenders():
    sgd = optax.sgd(0.1, momentum=0.9)
    return {
        "BatchGD": of_keras(BatchGD(0.1, momentum=0.9, gradient_accumulation_steps=NEVER)),
        "BatchGD, clipping": of_keras(
            BatchGD(0.1, momentum=0.9, gradient_accumulation_steps=NEVER, clipping=ByGlobalNorm(1.0))
        ),
        "Keras SGD": of_keras(keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=NEVER)),
        "optax.MultiSteps": of_optax(optax.MultiSteps(sgd, NEVER)),
        "bare sum": bare(),
        "BatchGD, an update every step": of_keras(BatchGD(0.1, momentum=0.9)),
        "Keras SGD, an update every step": of_keras(keras.optimizers.SGD(0.1, momentum=0.9)),
        "optax.sgd, an update every step": of_optax(sgd),
    }


def measure():
    """Seconds a step of each contender, a list of one a round."""
    gradients, seconds, states = arrays(1e-6), {}, {}
    for name, (_, state) in (steps := contenders()).items():
        states[name], seconds[name] = jax.tree.map(jnp.copy, state), []
    for counted in [False, *[True] * ROUNDS]:  # the first round compiles
        for name, (step, _) in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                states[name] = step(states[name], gradients)
            jax.block_until_ready(states[name])
            if counted:
                seconds[name].append((time.perf_counter() - start) / STEPS)
    return seconds


def main():
    seconds = measure()
    parameters = sum(map(math.prod, SHAPES))
    pairs = [("BatchGD", "Keras SGD"), ("BatchGD", "optax.MultiSteps"), ("BatchGD", "bare sum")]
    pairs.append(("BatchGD, clipping", "optax.MultiSteps"))
    pairs.append(("BatchGD, an update every step", "optax.sgd, an update every step"))
    result = {
        "parameters": parameters,
        "device": jax.devices()[0].device_kind,
        "rounds": ROUNDS,
        "median_ms": {name: 1000 * statistics.median(each) for name, each in seconds.items()},
        "ratios": {f"{above} / {below}": ratios(seconds, above, below) for above, below in pairs},
    }
    print(f"{parameters:,} parameters on {result['device']}, {ROUNDS} rounds")
    for name, value in result["median_ms"].items():
        print(f"  {name:36} {value:8.2f} ms")
    for name, value in result["ratios"].items():
        print("  {:64} {median:8.3f}   ({min:.3f} to {max:.3f})".format(name, **value))
    write("accumulation_jax", result)


if __name__ == "__main__":
    main()
