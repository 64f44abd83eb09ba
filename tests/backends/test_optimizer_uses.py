"""Uses of the optimizers beside those of every day: training steps and loops of one's own, wrappers, short floats.

Each is held to Keras's own optimizer with all samples at once, or to a rule that is written out in NumPy.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops, optimizers

from callbacks import BlockGradient, ExactResume, FullBatch, GradientMonitor, LearningRateFinder
from custom_optimizers import AcceleratedGD, Accumulate, BatchGD, Lookahead, Muon, NormalizedGD
from custom_optimizers.clipping import ByGlobalNorm
from tests.small import flat, relative

BACKEND = keras.backend.backend()
N, BATCH = 20, 8  # batches of 8, 8 and 4
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 3)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
FIT = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
compiled_too = pytest.mark.parametrize(
    "compiled",
    {  # what JAX does without compiling is what compiling traces
        "tensorflow": [False, True],
        "jax": [pytest.param(False, marks=pytest.mark.slow), True],
        "torch": [False],
    }[BACKEND],
)


def network(cls=keras.Model):
    """One hidden layer of 4, with the same weights at each call."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    return cls(inputs, layers.Dense(2)(layers.Dense(4, "tanh")(inputs)))


def fitted(optimizer, *callbacks, epochs=3, model=None, compiled=False, loss="mse", **options):
    """A model that `fit` has trained in batches of 8, 8 and 4, by default without a graph."""
    model = network() if model is None else model
    model.compile(optimizer, loss, run_eagerly=not compiled)
    model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **{**FIT, **options})
    return model


def at_once(optimizer, updates=3):
    """A model that has made updates, each on all samples at once."""
    model = network()
    model.compile(optimizer, "mse", run_eagerly=True)
    optimizer.build(model.trainable_variables)
    for _ in range(updates):
        model.train_on_batch(X, Y)
    optimizer.finalize_variable_values(model.trainable_variables)
    return model


def error(model, whole):
    """The relative difference of what training has changed."""
    start = flat(network())
    return relative(flat(model) - start, flat(whole) - start)


def sgd():
    return keras.optimizers.SGD(0.1, momentum=0.9)


def batch_gd(**options):
    return BatchGD(0.1, momentum=0.9, **options)


# Arguments

rare_on_jax = [pytest.mark.slow] if BACKEND == "jax" else []  # it takes its time without compiling

REFUSED = [
    ("weight_decay", -0.1),
    ("weight_decay", float("nan")),
    ("weight_decay", "0.1"),
    ("clipnorm", -1.0),
    ("clipvalue", -1.0),
    ("global_clipnorm", -1.0),
    ("global_clipnorm", float("nan")),
    ("loss_scale_factor", 0.0),
    ("diagnostics", "no"),
    ("gradient_accumulation_steps", 1),
    ("gradient_accumulation_steps", 4.0),
    ("gradient_accumulation_steps", np.int64(1)),
    ("gradient_accumulation_steps", np.float64(4.0)),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_arguments_that_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"BatchGD: .*`?{name}`?") as caught:
        BatchGD(**{name: value})
    assert "\n" not in str(caught.value)


ACCEPTED = {  # arguments, and what two updates by gradients of 3 and 4, at a rate of 0.5, make of weights of 1 and 2
    "weight_decay": (np.float32(0.5), [(0.75 - 1.5) * 0.75 - 1.5, (1.5 - 2) * 0.75 - 2]),
    "clipnorm": (np.float64(1.0), [1 - 0.6, 2 - 0.8]),
    "clipvalue": (np.float32(1.0), [0.0, 1.0]),
    "global_clipnorm": (2, [1 - 1.2, 2 - 1.6]),
    "loss_scale_factor": (np.float32(2.0), [-0.5, 0.0]),
    "diagnostics": (True, [-2.0, -2.0]),
    "gradient_accumulation_steps": (np.int64(2), [-0.5, 0.0]),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_numbers_of_numpy_are_taken_and_can_be_written(name):
    value, expected = ACCEPTED[name]
    optimizer, w = BatchGD(0.5, **{name: value}), keras.Variable([1.0, 2.0])
    for _ in range(2):
        optimizer.apply([ops.array([3.0, 4.0])], [w])
    np.testing.assert_allclose(ops.convert_to_numpy(w), expected, rtol=1e-6, atol=1e-6)
    again = keras.saving.deserialize_keras_object(
        json.loads(json.dumps(keras.saving.serialize_keras_object(optimizer)))
    )
    assert again.get_config() == optimizer.get_config()


# A floatx of few bits, beside variables and losses of float32

LONG = {"float16": 2049, "bfloat16": 257}  # samples of a micro-batch: one more than the type counts to
COUNTED = [  # reductions, and weights
    ("sum_over_batch_size", None),
    ("sum_over_batch_size", "small"),
    ("mean_with_sample_weight", "small"),
    ("mean_with_sample_weight", "large"),  # whose sum float16 has no room for
]


@contextlib.contextmanager
def floatx(name):
    before = keras.config.floatx()
    keras.config.set_floatx(name)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


@pytest.mark.parametrize(("reduction", "weights"), COUNTED)
@pytest.mark.parametrize("name", LONG)
def test_samples_are_counted_in_float32_whatever_floatx_is(name, reduction, weights):
    """Keras rounds arrays and rates to floatx, so that these have few bits. The last samples are unlike the others."""
    long, rng = LONG[name], np.random.default_rng(2)
    n, rate = long + 8, 2.0**-7
    x, y = rng.integers(-8, 9, (n, 3)) / 8, rng.integers(-8, 9, (n, 1)) / 8
    y[long:] = rng.integers(100, 108, (8, 1))
    sizes = {None: np.ones(n), "small": rng.integers(1, 17, n) / 16, "large": 8.0 * rng.integers(1, 17, n)}[weights]
    divisor = n if reduction == "sum_over_batch_size" else sizes.sum()
    expected = rate * 2 / divisor * x.T @ (sizes[:, None] * y)  # of a kernel of zeros
    with floatx(name):
        dense = layers.Dense(1, use_bias=False, kernel_initializer="zeros", dtype="float32")
        model = keras.Sequential([keras.Input((3,), dtype="float32"), dense])
        loss = keras.losses.MeanSquaredError(reduction=reduction, dtype="float32")
        model.compile(BatchGD(rate), loss, run_eagerly=True)
        given = {} if weights is None else {"sample_weight": sizes}
        model.fit(x, y, batch_size=long, shuffle=False, verbose=0, callbacks=[FullBatch()], **given)
    assert relative(model.get_weights()[0], expected) < 1e-5


# Training steps of one's own

if BACKEND == "tensorflow":
    import tensorflow as tf

    class Documented(keras.Model):
        """The step of Keras's guide "Customizing what happens in `fit`"."""

        def total(self, x, y, y_pred):
            return self.compute_loss(x, y, y_pred)

        def change(self, gradients):
            self.optimizer.apply(gradients, self.trainable_variables)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                total = self.total(x, y, self(x, training=True))
            self.change(tape.gradient(total, self.trainable_variables))
            return {"loss": total}

    class AppliesTwice(Documented):
        def change(self, gradients):
            for _ in range(2):
                super().change(gradients)

elif BACKEND == "jax":
    import jax

    class Documented(keras.Model):
        """The step of Keras's guide "Customizing what happens in `fit`"."""

        def total(self, x, y, y_pred):
            return self.compute_loss(x, y, y_pred)

        def change(self, values, gradients, weights):
            return self.optimizer.stateless_apply(values, gradients, weights)

        def train_step(self, state, data):
            weights, others, values, metrics = state
            x, y = data

            def total(weights, others):
                y_pred, others = self.stateless_call(weights, others, x, training=True)
                return self.total(x, y, y_pred), others

            (loss, others), gradients = jax.value_and_grad(total, has_aux=True)(weights, others)
            weights, values = self.change(values, gradients, weights)
            return {"loss": loss}, (weights, others, values, metrics)

    class AppliesTwice(Documented):
        def change(self, values, gradients, weights):
            weights, values = super().change(values, gradients, weights)
            return super().change(values, gradients, weights)

else:
    import torch

    class Documented(keras.Model):
        """The step of Keras's guide "Customizing what happens in `fit`"."""

        def total(self, x, y, y_pred):
            return self.compute_loss(x, y, y_pred)

        def change(self, gradients):
            self.optimizer.apply(gradients, self.trainable_variables)

        def train_step(self, data):
            x, y = data
            self.zero_grad()
            total = self.total(x, y, self(x, training=True))
            total.backward()
            with torch.no_grad():
                self.change([v.value.grad for v in self.trainable_variables])
            return {"loss": total.detach()}

    class AppliesTwice(Documented):
        def change(self, gradients):
            for _ in range(2):
                super().change(gradients)


class OwnLoss(Documented):
    def total(self, x, y, y_pred):
        return keras.losses.MeanSquaredError()(y, y_pred)


@compiled_too
def test_a_documented_train_step_is_exact(compiled):
    model = fitted(batch_gd(), FullBatch(), model=network(Documented), compiled=compiled)
    assert error(model, at_once(sgd())) < 1e-5
    assert int(model.optimizer.iterations) == 3


def test_a_train_step_with_a_loss_of_its_own_is_refused_unless_declared():
    with pytest.raises(ValueError, match="does not call `compute_loss`") as caught:
        fitted(batch_gd(), FullBatch(), model=network(OwnLoss), loss=None)
    assert "\n" not in str(caught.value)
    model = fitted(batch_gd(), FullBatch("mean"), model=network(OwnLoss), loss=None)
    assert error(model, at_once(sgd())) < 1e-5


def test_a_train_step_that_applies_twice_is_refused():
    with pytest.raises(ValueError, match="applied gradients twice") as caught:
        fitted(batch_gd(), FullBatch(), model=network(AppliesTwice))
    assert "\n" not in str(caught.value)


# Loops of one's own


def step_of(model, compiled, weighs):
    """`(step, bring)`: a function of a micro-batch, and one that brings the variables up to date after several."""
    optimizer, loss = model.optimizer, keras.losses.MeanSquaredError()

    def counted(weight):
        return optimizer.micro_batch(weight) if weighs else contextlib.nullcontext()

    if BACKEND == "tensorflow":

        def step(x, y, weight):
            with tf.GradientTape() as tape:
                total = loss(y, model(x, training=True))
            with counted(weight):
                optimizer.apply(tape.gradient(total, model.trainable_variables), model.trainable_variables)

        run = tf.function(step, reduce_retracing=True) if compiled else step
        return lambda *data: run(*map(tf.constant, data)), lambda: None
    if BACKEND == "torch":

        def step(x, y, weight):
            model.zero_grad()
            loss(y, model(x, training=True)).backward()
            with torch.no_grad(), counted(weight):
                optimizer.apply([v.value.grad for v in model.trainable_variables], model.trainable_variables)

        return step, lambda: None

    def total(weights, x, y):
        return loss(y, model.stateless_call(weights, [], x)[0])

    def pure(weights, values, x, y, weight):
        with counted(weight):
            return optimizer.stateless_apply(values, jax.grad(total)(weights, x, y), weights)

    run, state = jax.jit(pure) if compiled else pure, []

    def step(*data):
        if not state:
            state.extend([v.value for v in each] for each in (model.trainable_variables, optimizer.variables))
        state[:] = run(*state, *data)

    def bring():
        for variables, values in zip((model.trainable_variables, optimizer.variables), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        state.clear()

    return step, bring


LOOPS = {  # gradient_accumulation_steps, sizes of the micro-batches, whether the loop says them, how long a pass is
    "windows": (4, [5, 5, 5, 5], False, None),
    "weighted windows": (3, [8, 8, 4], True, None),
    "passes": ("epoch", [8, 8, 4], True, 3),
    "passes of unknown length": ("epoch", [8, 8, 4], True, None),
}


@compiled_too
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_of_ones_own_is_exact(name, compiled):
    steps, sizes, weighs, length = LOOPS[name]
    model = network()
    model.optimizer = optimizer = batch_gd(gradient_accumulation_steps=steps)
    optimizer.build(model.trainable_variables)
    step, bring = step_of(model, compiled, weighs)
    cuts = np.cumsum(sizes)[:-1]
    for _ in range(3):
        if steps == "epoch":
            optimizer.begin_pass(length)
        for x, y in zip(np.split(X, cuts), np.split(Y, cuts), strict=True):
            step(x, y, float(len(x)))
        bring()
        if steps == "epoch":
            assert optimizer.end_pass() == ("updated" if length is None else "nothing")
    assert int(optimizer.iterations) == 3
    assert error(model, at_once(sgd())) < 1e-5


@compiled_too
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")
def test_micro_batches_of_a_window_may_have_gradients_of_different_variables(compiled):
    """Each variable gets the mean over the window, in which it had no gradient once, and nothing is left over."""
    optimizer, a, b = BatchGD(1.0, gradient_accumulation_steps=2), keras.Variable([0.0]), keras.Variable([0.0])
    optimizer.build([a, b])
    apply = applier(optimizer, [a, b], compiled)
    for _ in range(2):
        apply([1.0, None])
        apply([None, 1.0])
    assert [ops.convert_to_numpy(v).tolist() for v in (a, b)] == [[-1.0], [-1.0]]
    assert int(optimizer.iterations) == 2


def applier(optimizer, variables, compiled=False):
    """A function of gradients, some of them None, that is one `apply`; compiled anew for those which are there."""
    of = {}

    def pure(there):
        def all_of(values):
            known = dict(zip(there, values, strict=True))
            return [known.get(i) for i in range(len(variables))]

        if not compiled:
            return lambda values: optimizer.apply(all_of(values), variables)
        if BACKEND == "tensorflow":
            return tf.function(lambda values: optimizer.apply(all_of(values), variables), autograph=False)
        return jax.jit(lambda values, state: optimizer.stateless_apply(state[0], all_of(values), state[1]))

    def apply(gradients):
        there = tuple(i for i, g in enumerate(gradients) if g is not None)
        values = [ops.array(np.reshape(gradients[i], variables[i].shape), "float32") for i in there]
        function = of.setdefault(there, pure(there))
        if compiled and BACKEND == "jax":
            state = [v.value for v in optimizer.variables], [v.value for v in variables]
            weights, others = function(values, state)
            for variable, value in zip([*variables, *optimizer.variables], [*weights, *others], strict=True):
                variable.assign(value)
        else:
            function(values)

    return apply


# Optimizers around others

INNER = {  # those of Keras
    **{
        name: getattr(optimizers, name)
        for name in ("SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor", "Nadam", "Ftrl")
        + ("Lion", "Lamb", "Muon", "ScheduleFreeAdamW")
    },
    "SGD with momentum": lambda rate, **options: optimizers.SGD(rate, momentum=0.9, nesterov=True, **options),
    "RMSprop, centered": lambda rate, **options: optimizers.RMSprop(rate, momentum=0.9, centered=True, **options),
    "Adam, amsgrad": lambda rate, **options: optimizers.Adam(rate, amsgrad=True, **options),
    "Adam, schedule": lambda rate, **options: optimizers.Adam(optimizers.schedules.CosineDecay(rate, 5), **options),
}


SHAPES = {"kernel": (4, 3), "bias": (3,), "head_kernel": (3, 2)}


def parameters():
    """Variables whose values, and gradients, are not near 0."""
    rng = np.random.default_rng(3)
    return [keras.Variable(off_zero(rng, shape).astype("float32"), name=name) for name, shape in SHAPES.items()]


def off_zero(rng, shape):
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)


def slopes(updates):
    """A gradient of each parameter for each update."""
    rng = np.random.default_rng(4)
    return [[off_zero(rng, shape) for shape in SHAPES.values()] for _ in range(updates)]


def parts_of(gradients, weights):
    """Micro-batches' gradients whose mean with these weights is that of the full batch."""
    rng, shares = np.random.default_rng(5), np.divide(weights, np.sum(weights))
    apart = rng.normal(size=len(weights))
    apart -= shares @ apart
    return [[g + a for g in gradients] for a in apart]


@pytest.mark.parametrize("name", INNER)
def test_any_optimizer_of_keras_takes_full_batches(name):
    """With weight decay, each micro-batch by its weight, beside the same optimizer with the full gradient."""
    ours, theirs = parameters(), parameters()
    rate = 1.0 if name == "Adadelta" else 0.01
    inner, whole = (INNER[name](rate, weight_decay=0.1) for _ in range(2))
    optimizer, weights = Accumulate(inner, gradient_accumulation_steps="epoch"), [8.0, 8.0, 4.0]
    optimizer.build(ours)
    for gradients in slopes(4):
        optimizer.begin_pass(3)
        for part, weight in zip(parts_of(gradients, weights), weights, strict=True):
            with optimizer.micro_batch(weight):
                optimizer.apply([ops.array(g, "float32") for g in part], ours)
        whole.apply([ops.array(g, "float32") for g in gradients], theirs)
    assert distance(ours, [ops.convert_to_numpy(v) for v in theirs]) < 1e-5
    assert int(inner.iterations) == int(optimizer.iterations) == 4


def distance(variables, values):
    """How far parameters are from some values, relative to what has been changed."""
    start, ours, theirs = (
        np.concatenate([np.ravel(np.float64(ops.convert_to_numpy(v))) for v in each])
        for each in (parameters(), variables, values)
    )
    return relative(ours - start, theirs - start)


@compiled_too
def test_the_moving_average_around_an_optimizer_of_keras(compiled):
    options = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3}
    model = fitted(Accumulate(optimizers.Adam(0.01), **options), FullBatch(), epochs=4, compiled=compiled)
    assert error(model, at_once(optimizers.Adam(0.01, **options), 4)) < 1e-5


def test_the_wrapper_of_batch_gd_is_batch_gd():
    assert error(fitted(Accumulate(batch_gd()), FullBatch()), at_once(sgd())) < 1e-5


WRONG = {
    "a class": (lambda: Accumulate(optimizers.Adam), "`inner` must be"),
    "a name": (lambda: Accumulate("adam"), "`inner` must be"),
    "a bound of the inner one": (lambda: Accumulate(optimizers.Adam(0.1, clipnorm=1.0)), "`clipnorm`"),
    "loss scaling inside": (
        lambda: Accumulate(optimizers.LossScaleOptimizer(optimizers.Adam(0.1))),
        "LossScaleOptimizer",
    ),
    "a rate of its own": (lambda: Accumulate(optimizers.Adam(0.1), learning_rate=0.1), "`learning_rate`"),
}
if hasattr(optimizers, "MultiOptimizer"):
    WRONG["several inside"] = (
        lambda: Accumulate(optimizers.MultiOptimizer([(optimizers.Adam(0.1), [layers.Dense(1)])])),
        "MultiOptimizer",
    )


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_wrapped_is_named_in_one_line(case):
    make, said = WRONG[case]
    with pytest.raises(ValueError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


# Coupled decay, in rules that need something of all variables together

DECAY, BOUND, RATE = 0.05, 3.0, 0.1
RATES = {"kernel": 1.0, "bias": 2.0, "head_kernel": 0.5}
BY_PATH = {
    "exclude_from_weight_decay": ["bias"],
    "learning_rate_multipliers": {"bias": 2.0, "head": 0.5},
}
RULES = {  # of the docstrings
    "model": (lambda **options: NormalizedGD(RATE, momentum=0.9, **options), ("model", 0.9)),
    "variable": (lambda **options: NormalizedGD(RATE, momentum=0.9, per="variable", **options), ("variable", 0.9)),
    "no momentum": (lambda **options: NormalizedGD(RATE, momentum=0.0, **options), ("model", 0.0)),
    "accelerated": (lambda **options: AcceleratedGD(RATE, **{"gradient_accumulation_steps": None, **options}), None),
}


def norm(arrays):
    return np.sqrt(sum(np.sum(a**2) for a in arrays))


class Normalized:
    def __init__(self, per, momentum):
        self.per, self.momentum, self.velocities = per, momentum, [0.0] * len(SHAPES)

    def changes(self, gradients):
        pairs = zip(self.velocities, gradients, strict=True)
        self.velocities = [self.momentum * v + (1 - self.momentum) * g for v, g in pairs]
        lengths = [norm(self.velocities if self.per == "model" else [v]) + 1e-8 for v in self.velocities]
        rates = [RATE * multiplier for multiplier in RATES.values()]
        return [-rate * v / length for rate, v, length in zip(rates, self.velocities, lengths, strict=True)]


class Accelerated:
    def __init__(self):
        self.t, self.leads, self.restarts, self.slopes = 1.0, [np.zeros(shape) for shape in SHAPES.values()], 0, []

    def changes(self, gradients):
        descents = [RATE * m * g for m, g in zip(RATES.values(), gradients, strict=True)]
        steps = [lead - d for lead, d in zip(self.leads, descents, strict=True)]
        self.slopes.append(sum(np.sum(g * step) for g, step in zip(gradients, steps, strict=True)))
        if self.slopes[-1] > 0:
            self.t, self.restarts = 1.0, self.restarts + 1
        t_next = (1 + np.sqrt(1 + 4 * self.t**2)) / 2
        self.leads = [(self.t - 1) / t_next * step for step in steps]
        self.t = t_next
        return [lead - d for lead, d in zip(self.leads, descents, strict=True)]


def rule_of(name):
    return Accelerated() if RULES[name][1] is None else Normalized(*RULES[name][1])


def by_formula(rule, path, clips, period=None):
    """The parameters after updates by these gradients in float64: clip, decay, rule, and Lookahead's slow weights."""
    values = [np.float64(ops.convert_to_numpy(v)) for v in parameters()]
    slow = values
    for i, gradients in enumerate(path):
        factor = min(1.0, BOUND / norm(gradients)) if clips else 1.0
        decays = [0.0 if name == "bias" else DECAY for name in SHAPES]
        gradients = [factor * g + d * w for g, d, w in zip(gradients, decays, values, strict=True)]
        values = [w + c for w, c in zip(values, rule.changes(gradients), strict=True)]
        if period and (i + 1) % period == 0:
            slow = values = [s + 0.5 * (w - s) for s, w in zip(slow, values, strict=True)]
    return values


def turning():
    """Gradients of ten updates that turn back now and then, so that the accelerated rule restarts.

    One is so small that decay decides: with it the step leads downhill, and without it uphill.
    """
    rng, start = np.random.default_rng(6), [np.float64(ops.convert_to_numpy(v)) for v in parameters()]
    sizes = [1, 1, 1, -0.02, 1, 1, 1, -0.2, -1, 1]
    return [[size * (s + (abs(size) > 0.1) * 0.2 * rng.normal(size=s.shape)) for s in start] for size in sizes]


WRAPPERS = {
    "alone": lambda make, **options: make(weight_decay=DECAY, **options),
    "Accumulate": lambda make, **options: Accumulate(make(weight_decay=DECAY), **options),
    "Lookahead": lambda make, **options: Lookahead(make(weight_decay=DECAY), sync_period=3, **options),
}


def coupled(name, wrapper, clips, **options):
    clipping = ByGlobalNorm(BOUND) if clips else None
    return WRAPPERS[wrapper](RULES[name][0], weight_decay_mode="coupled", clipping=clipping, **BY_PATH, **options)


def held_to_formula(name, wrapper, clips, compiled, micro_batches=1, **options):
    optimizer, variables, path = coupled(name, wrapper, clips, **options), parameters(), turning()
    optimizer.build(variables)
    apply = applier(optimizer, variables, compiled)
    for gradients in path:
        if optimizer.makes_passes:
            optimizer.begin_pass(micro_batches)
        for part in parts_of(gradients, [1.0] * micro_batches):
            with optimizer.micro_batch(1.0) if optimizer.makes_passes else contextlib.nullcontext():
                apply(part)
    expected = by_formula(rule_of(name), path, clips, 3 if wrapper == "Lookahead" else None)
    assert int(optimizer.iterations) == len(path)
    assert distance(variables, expected) < 3e-5


def test_the_gradients_of_these_tests_restart_the_accelerated_rule_and_are_clipped():
    for clips in (False, True):
        rule = Accelerated()
        by_formula(rule, turning(), clips)
        assert 1 <= rule.restarts <= 5
        assert min(np.abs(rule.slopes)) > 0.003  # rounding leaves the sign alone
    lengths = [norm(gradients) for gradients in turning()]
    assert min(lengths) < BOUND / 2 < BOUND < max(lengths)
    plain, decayed = (by_formula(rule_of("model"), turning(), clips) for clips in (False, True))
    assert distance(parameters_of(plain), decayed) > 1e-3


def parameters_of(values):
    return [keras.Variable(value, name=name) for name, value in zip(SHAPES, values, strict=True)]


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("clips", [pytest.param(False, marks=rare_on_jax, id="free"), pytest.param(True, id="clipped")])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", RULES)
def test_coupled_decay_is_in_the_gradients_of_the_rule(name, wrapper, clips):
    held_to_formula(name, wrapper, clips, compiled=False)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", RULES)
def test_coupled_decay_with_windows_of_three_micro_batches(name, wrapper):
    if (name, wrapper) == ("accelerated", "alone"):
        with pytest.raises(ValueError, match="`gradient_accumulation_steps` must be 'epoch', or None"):
            coupled(name, wrapper, clips=True, gradient_accumulation_steps=3)
        return
    held_to_formula(name, wrapper, True, compiled=False, micro_batches=3, gradient_accumulation_steps=3)


@pytest.mark.parametrize("name", ["variable", "accelerated"])
def test_coupled_decay_with_passes_of_three_micro_batches(name):
    held_to_formula(name, "alone", True, compiled=False, micro_batches=3, gradient_accumulation_steps="epoch")


@pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing")
@pytest.mark.parametrize("wrapper", ["alone", "Lookahead"])
@pytest.mark.parametrize("name", RULES)
def test_coupled_decay_when_compiled(name, wrapper):
    held_to_formula(name, wrapper, True, compiled=True)


# Callbacks around other optimizers than those of every day

WITH_STATE = {
    "a moving average": lambda: batch_gd(use_ema=True, ema_momentum=0.5),
    "Lookahead": lambda: Lookahead(BatchGD(0.1), sync_period=4, use_ema=True),
    "Accumulate": lambda: Accumulate(optimizers.Adam(0.01)),
    "a schedule": lambda: BatchGD(optimizers.schedules.CosineDecay(0.1, 5), momentum=0.9),
    "loss scaling": lambda: optimizers.LossScaleOptimizer(batch_gd()),
}


@pytest.mark.filterwarnings("ignore:LearningRateFinder. no suggestion")
@pytest.mark.slow_cases("a moving average", "a schedule", "loss scaling")
@pytest.mark.parametrize("name", WITH_STATE)
def test_a_range_test_leaves_no_trace_in_any_of_them(name):
    def trained(with_test):
        model = network()
        model.compile(WITH_STATE[name](), "mse", run_eagerly=True)
        if with_test:
            finder = LearningRateFinder(1e-3, 0.1, 10, diverged=100.0)
            model.fit(X, Y, epochs=11, callbacks=[FullBatch(), finder], **FIT)
            assert len(finder.rates) == 10
        model.fit(X, Y, epochs=2, callbacks=[FullBatch()], **FIT)
        return flat(model)

    np.testing.assert_array_equal(trained(True), trained(False))


class Killed(BaseException):
    """Ends `fit` as a kill would: nothing after it runs."""


def kill(epoch, logs=None):
    if epoch == 2:
        raise Killed


@pytest.mark.slow_cases("a schedule", "loss scaling")
@pytest.mark.parametrize("name", WITH_STATE)
def test_killed_and_resumed_each_of_them_is_whole(name, tmp_path):
    def process(file, *callbacks):
        resume = ExactResume(tmp_path / file, seed=3)
        model = fitted(WITH_STATE[name](), FullBatch(), resume, *callbacks, epochs=4)
        return flat(model), [row["loss"] for row in resume.history]

    weights, losses = process("whole.npz")
    with pytest.raises(Killed):
        process("killed.npz", keras.callbacks.LambdaCallback(on_epoch_begin=kill))
    resumed, resumed_losses = process("killed.npz")
    np.testing.assert_array_equal(resumed, weights)
    assert resumed_losses == losses


def test_the_norms_of_the_monitor_are_those_of_the_full_batch():
    """Keras's SGD with a rate of 1 changes the weights by the gradient."""
    history = fitted(batch_gd(), FullBatch(), GradientMonitor(layers=True), epochs=1).history.history
    changes = [
        w - start
        for w, start in zip(at_once(optimizers.SGD(1.0), 1).get_weights(), network().get_weights(), strict=True)
    ]
    assert history["gradient_norm"] == [pytest.approx(norm(changes), rel=1e-5)]
    of_layers = [values for name, values in history.items() if name.startswith("gradient_norm/")]
    assert of_layers == [[pytest.approx(norm(changes[i : i + 2]), rel=1e-5)] for i in (0, 2)]


# Several devices of JAX, in a process that has four

DISTRIBUTED = {  # ours, and what it equals on one device
    "plain": (batch_gd, sgd),
    "Adam": (lambda: Accumulate(optimizers.Adam(0.01)), lambda: optimizers.Adam(0.01)),
    "Muon": (lambda: Muon(0.01), lambda: Muon(0.01)),
    "Lookahead": (lambda: Lookahead(batch_gd(), sync_period=2), lambda: Lookahead(batch_gd(), sync_period=2)),
    "moving average": (lambda: average(BatchGD), lambda: average(optimizers.SGD)),
    "clipnorm": (lambda: BatchGD(0.1, global_clipnorm=0.1), lambda: optimizers.SGD(0.1, global_clipnorm=0.1)),
    "clipping": (lambda: BatchGD(0.1, clipping=ByGlobalNorm(0.1)), lambda: optimizers.SGD(0.1, global_clipnorm=0.1)),
}
DATA = {  # arguments of `compile`, and callbacks beside `FullBatch`
    "three steps at once": ({"steps_per_execution": 3}, []),
    "blocks": ({}, [BlockGradient(4)]),
    "monitor": ({}, [GradientMonitor()]),
    "a PyDataset": ({}, []),
}
MEANS = {"sum": 0.1 / N, "mean_with_sample_weight": 0.1}  # reductions, and rates
SIZES = RNG.uniform(0.2, 3, N).astype("float32")


def average(cls):
    return cls(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)


def data_parallel():
    return keras.distribution.DataParallel(devices=keras.distribution.list_devices(), auto_shard_dataset=False)


def model_parallel(shape=(2, 2)):
    """Kernels and biases lie in parts on the devices of the second axis."""
    mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"], keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*kernel"], layouts[".*bias"] = (None, "model"), ("model",)
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False)


@contextlib.contextmanager
def distributed(distribution):
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(None)


def check_where_memory_lies():
    """Whatever is of a kernel's shape lies on each of four devices in a quarter, as the kernel does."""
    with distributed(model_parallel((1, 4))):
        model = keras.Sequential([keras.Input((3,)), layers.Dense(16)])
        model.compile(Lookahead(batch_gd(), use_ema=True), "mse")
        model.fit(X, np.zeros((N, 16)), callbacks=[FullBatch()], **FIT)
        kept = [v for v in model.optimizer._window.sums + model.optimizer.variables if tuple(v.shape) == (3, 16)]
        sizes = {v.path: {shard.data.nbytes for shard in v.value.addressable_shards} for v in kept}
    assert len(sizes) >= 4, sizes  # of the sum, the velocity, the slow weights and the average
    assert set().union(*sizes.values()) == {3 * 16 * 4 // 4}, sizes


def check_on_devices(distribution):
    """The number of comparisons made, each within 1e-5."""
    made = 0
    for name, (ours, theirs) in DISTRIBUTED.items():
        whole = at_once(theirs())
        with distributed(distribution()):
            found = error(fitted(ours(), FullBatch(), compiled=True), whole)
        assert found < 1e-5, (name, found)
        made += 1
    whole = at_once(sgd())
    for name, (options, callbacks) in DATA.items():
        with distributed(distribution()):
            model = network()
            model.compile(batch_gd(), "mse", **options)
            arguments = {"x": Batches()} if name == "a PyDataset" else {"x": X, "y": Y, "batch_size": BATCH}
            model.fit(**arguments, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch(), *callbacks])
            found = error(model, whole)
        assert found < 1e-5, (name, found)
        made += 1
    for reduction, rate in MEANS.items():
        loss = functools.partial(keras.losses.MeanSquaredError, reduction=reduction)
        whole = regular()
        whole.compile(optimizers.SGD(rate), loss(), run_eagerly=True)
        whole.train_on_batch(X, Y, sample_weight=SIZES)
        with distributed(distribution()):
            model = fitted(
                BatchGD(rate), FullBatch(), epochs=1, model=regular(), compiled=True, loss=loss(), sample_weight=SIZES
            )
            found = error(model, whole)
        assert found < 1e-5, (reduction, found)
        made += 1
    return made


class Batches(keras.utils.PyDataset):
    """Batches of 8, 8 and 4."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[BATCH * i : BATCH * (i + 1)], Y[BATCH * i : BATCH * (i + 1)]


def regular():
    """The same network, whose kernels have regularisers."""
    model = network()
    for layer in model.layers[1:]:
        layer.kernel_regularizer = keras.regularizers.L2(0.05)
        layer.kernel.regularizer = layer.kernel_regularizer
    return model


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is of JAX")
@pytest.mark.parametrize("what", ["data_parallel", "model_parallel"])
def test_on_four_devices_of_jax(what):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    command = [sys.executable, "-m", __name__, what]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    made = len(DISTRIBUTED) + len(DATA) + len(MEANS)
    assert found.stdout.split() == ["4", "devices", str(made)]


if __name__ == "__main__":
    if sys.argv[1] == "model_parallel":
        check_where_memory_lies()
    made = check_on_devices({"data_parallel": data_parallel, "model_parallel": model_parallel}[sys.argv[1]])
    print(len(keras.distribution.list_devices()), "devices", made)
