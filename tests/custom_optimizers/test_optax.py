"""50 steps beside optax, which is an independent implementation of the same rules."""

import keras
import numpy as np
import optax
import pytest
import tensorflow as tf
from keras import ops

from custom_optimizers import (
    Accumulate,
    BatchGD,
    Lookahead,
    NormalizedGD,
    OptimisticGD,
    SignMomentum,
)
from custom_optimizers.clipping import AGC, ByBlockRMS, ByGlobalNorm, ByValue, Centralize, Normalize

SHAPES = [(3, 3, 2, 4), (4, 3), (3,)]


def sgd(*before):
    return optax.chain(*before, optax.sgd(0.05, momentum=0.9))


def ball(clipping):
    return lambda: BatchGD(0.05, momentum=0.9, clipping=clipping)


def centralized():
    """optax centralises over all axes but the first; Keras has the units on the last."""
    central = optax.centralize()

    def update(updates, state, params=None):
        turned = [np.moveaxis(u, -1, 0) for u in updates]
        return [np.moveaxis(u, 0, -1) for u in central.update(turned, state)[0]], state

    return optax.GradientTransformation(central.init, update)


PAIRS = {
    "momentum": (ball(None), sgd),
    "nesterov": (
        lambda: BatchGD.from_preset("nesterov", learning_rate=0.05),
        lambda: optax.sgd(0.05, momentum=0.9, nesterov=True),
    ),
    "value": (ball(ByValue(0.5)), lambda: sgd(optax.clip(0.5))),
    "global norm": (ball(ByGlobalNorm(2.0)), lambda: sgd(optax.clip_by_global_norm(2.0))),
    "block rms": (ball(ByBlockRMS(0.5)), lambda: sgd(optax.clip_by_block_rms(0.5))),
    "agc": (ball(AGC(0.1)), lambda: sgd(optax.adaptive_grad_clip(0.1))),
    "normalize": (ball(Normalize(eps=1e-6)), lambda: sgd(optax.normalize_by_update_norm(eps=1e-6))),
    "centralize": (ball(Centralize()), lambda: sgd(centralized())),
    "two clippers": (
        ball([Centralize(), ByGlobalNorm(2.0)]),
        lambda: sgd(centralized(), optax.clip_by_global_norm(2.0)),
    ),
    "optimistic": (lambda: OptimisticGD(0.05), lambda: optax.optimistic_gradient_descent(0.05)),
    "half optimistic": (
        lambda: OptimisticGD(0.05, optimism=0.5),
        lambda: optax.optimistic_gradient_descent(0.05, alpha=1.0, beta=0.5),
    ),
    "normalised descent": (
        lambda: NormalizedGD(0.05, momentum=0.9, eps=1e-12),
        lambda: optax.chain(optax.ema(0.9, debias=False), optax.normalize_by_update_norm(eps=1e-12), optax.sgd(0.05)),
    ),
    "sign descent": (lambda: SignMomentum(0.05, momentum=0.0), lambda: optax.sign_sgd(0.05)),
    "adam": (
        lambda: Accumulate(keras.optimizers.Adam(0.05, epsilon=1e-8), clipping=ByGlobalNorm(2.0)),
        lambda: optax.chain(optax.clip_by_global_norm(2.0), optax.scale_by_adam(), optax.scale(-0.05)),
    ),
    "adam, every 5": (
        lambda: Accumulate(keras.optimizers.Adam(0.05, epsilon=1e-8), gradient_accumulation_steps=5),
        lambda: optax.MultiSteps(optax.adam(0.05), 5),
    ),
    "momentum, every 5": (
        lambda: BatchGD(0.05, momentum=0.9, gradient_accumulation_steps=5, clipping=ByGlobalNorm(2.0)),
        lambda: optax.MultiSteps(sgd(optax.clip_by_global_norm(2.0)), 5),
    ),
}


def gradients():
    rng = np.random.default_rng(0)
    return [[rng.normal(size=shape).astype("float32") for shape in SHAPES] for _ in range(50)]


def ours(optimizer):
    variables = [keras.Variable(np.ones(shape, "float32"), name="kernel") for shape in SHAPES]
    optimizer.build(variables)
    update = tf.function(lambda gradients: optimizer.apply(gradients, variables), autograph=False)
    for each in gradients():
        update([ops.array(g) for g in each])
    return [ops.convert_to_numpy(v) for v in variables]


@pytest.mark.slow_cases("adam, every 5", "momentum, every 5")  # MultiSteps of optax takes seconds
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_equals_optax(pair):
    make, reference = pair
    transform, values = reference(), [np.ones(shape, "float32") for shape in SHAPES]
    state = transform.init(values)
    for each in gradients():
        updates, state = transform.update(each, state, values)
        values = optax.apply_updates(values, updates)
    for mine, other in zip(ours(make()), values, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


def test_lookahead_equals_optax():
    optimizer = optax.lookahead(optax.sgd(0.05, momentum=0.9), sync_period=5, slow_step_size=0.5)
    values = optax.LookaheadParams.init_synced([np.ones(shape, "float32") for shape in SHAPES])
    state = optimizer.init(values)
    for each in gradients():
        updates, state = optimizer.update(each, state, values)
        values = optax.apply_updates(values, updates)
    mine = ours(Lookahead(BatchGD(0.05, momentum=0.9), sync_period=5, slow_step_size=0.5))
    for one, other in zip(mine, values.fast, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


KERAS = {
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {},
    "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.1},
    "Adamax": {},
    "Ftrl": {},
    "Lamb": {},
    "Lion": {},
    "Muon": {"weight_decay": 0.1, "adam_weight_decay": 0.3},
    "Nadam": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "SGD": {"momentum": 0.9, "nesterov": True},
    "ScheduleFreeAdamW": {},
}


@pytest.mark.parametrize("name", KERAS)
def test_accumulate_is_transparent_for_each_optimizer_of_keras(name):
    cls = getattr(keras.optimizers, name)
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 60)
    wrapped, bare = (make(cls(schedule, **KERAS[name])) for make in (Accumulate, lambda optimizer: optimizer))
    for one, other in zip(ours(wrapped), ours(bare), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert int(wrapped.inner.iterations) == int(wrapped.iterations) == 50
