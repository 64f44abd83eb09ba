"""What `FullBatch` computes is what one batch with all samples would give."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import callbacks
from callbacks import BlockGradient, FullBatch, GradientMonitor
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches
from tests.callbacks import whole as whole_and_parts
from tests.callbacks.whole import SMALL, N, at_once, builder, by_parts, two_headed
from tests.small import change, compiled, flat, loss, relative, samples, scope


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize("weighting", [None, "sample_weight", "class_weight"])
def test_exact_for_every_reduction_and_weighting_with_a_regularizer(reduction, weighting):
    x, y = samples(N)
    weights = np.random.default_rng(1).uniform(size=N) * (np.arange(N) % 5 > 0)  # some are 0
    fit = {
        None: {},
        "sample_weight": {"sample_weight": weights},
        "class_weight": {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5, 3: 0.0}},
    }[weighting]
    build = builder(reduction, "l2")
    parts, whole = by_parts(build, x, y, **fit), at_once(build, x, y, **fit)
    assert relative(change(parts), change(whole)) < 1e-5


def test_samples_without_weight_leave_a_weighted_mean_finite():
    x, y = samples(N)
    weights = (np.arange(N) >= 3 * SMALL).astype("float32")  # whole micro-batches weigh nothing
    build = builder("mean_with_sample_weight")
    parts, whole = (f(build, x, y, sample_weight=weights) for f in (by_parts, at_once))
    assert relative(change(parts), change(whole)) < 1e-5


@pytest.mark.slow_cases("2-mean_with_sample_weight", "2-sum", "2-sum_over_batch_size")
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize("devices", [1, 2])
def test_full_batches_with_weights_of_ones_own(reduction, devices):
    x, y = samples(N)
    weights = np.random.default_rng(1).uniform(size=N)
    whole = at_once(builder(reduction, "l2"), x, y, sample_weight=weights)
    with scope(devices):
        model = builder(reduction, "l2")(BatchGD(0.05, 0.9))
        kind = "sum" if reduction == "sum" else "mean"
        data = full_batches(x, y, SMALL, sample_weight=weights, reduction=kind)
    model.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert relative(change(model), change(whole)) < 1e-5


def test_the_reported_loss_is_that_of_the_full_batch():
    x, y = samples(N)
    model = compiled(lambda: BatchGD(0.05))
    expected = model.evaluate(x, y, batch_size=N, verbose=0)
    history = model.fit(full_batches(x, y, SMALL), shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_float64(reduction, monkeypatch):
    monkeypatch.setattr(whole_and_parts, "MOMENTUM", 0.875)  # SGD of Keras rounds it to float32, in float64 too
    x, y = samples(N)
    weights = np.random.default_rng(1).uniform(size=N)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        build = builder(reduction, "l2")
        parts, whole = (run(build, x, y, sample_weight=weights) for run in (by_parts, at_once))
        assert flat(parts).dtype == "float64"
        assert relative(change(parts), change(whole)) < 1e-12
    finally:
        keras.config.set_floatx("float32")


def test_several_outputs():
    x, y = samples(N)
    targets = [y, y.astype("float32")]
    parts, whole = by_parts(two_headed, x, targets), at_once(two_headed, x, targets)
    assert relative(flat(parts), flat(whole)) < 1e-6


@pytest.mark.parametrize(("outputs", "targets"), [("list", "list"), ("list", "dict"), ("dict", "dict")])
def test_losses_by_name(outputs, targets):
    """Names out of order, so that what is paired by position would be paired wrongly."""

    def build(optimizer):
        keras.utils.set_random_seed(3)
        inputs = keras.Input((8, 8, 1))
        x = layers.Flatten()(inputs)
        heads = {"z": layers.Dense(4, name="z")(x), "a": layers.Dense(1, name="a")(x)}
        model = keras.Model(inputs, heads if outputs == "dict" else list(heads.values()))
        model.compile(optimizer=optimizer, loss={"a": "mse", "z": loss()})
        return model

    x, y = samples(N)
    named = {"z": y, "a": y.astype("float32")}
    data = named if targets == "dict" else list(named.values())
    assert relative(flat(by_parts(build, x, data)), flat(at_once(build, x, data))) < 1e-6


def test_a_dictionary_of_inputs():
    def build(optimizer):
        keras.utils.set_random_seed(3)
        inputs = {"a": keras.Input((8, 8, 1), name="a"), "b": keras.Input((1,), name="b")}
        merged = layers.Concatenate()([layers.Flatten()(inputs["a"]), inputs["b"]])
        model = keras.Model(inputs, layers.Dense(4)(merged))
        model.compile(optimizer=optimizer, loss=loss())
        return model

    x, y = samples(N)
    data = {"a": x, "b": y[:, None].astype("float32")}
    assert relative(flat(by_parts(build, data, y)), flat(at_once(build, data, y))) < 1e-6


@pytest.mark.slow
def test_clips_what_has_been_reduced_over_devices():
    """Replicas with gradients at right angles: the norm of their sum is what is bounded."""
    x = np.float32([[1, 0], [0, 1]])
    y = np.float32([[-50], [-50]])
    moved = {}
    for name, optimizer in (
        ("ours", lambda: BatchGD(1.0, clipping=ByGlobalNorm(1.0))),
        ("ours, epoch", lambda: BatchGD(1.0, clipping=ByGlobalNorm(1.0), gradient_accumulation_steps="epoch")),
        ("ours, Keras's argument", lambda: BatchGD(1.0, global_clipnorm=1.0)),
        ("Keras", lambda: keras.optimizers.SGD(1.0, global_clipnorm=1.0)),
    ):
        with scope(devices=2):
            model = keras.Sequential([keras.Input((2,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
            model.compile(optimizer=optimizer(), loss="mse")
            data = tf.data.Dataset.from_tensor_slices((x, y)).batch(2)
        callbacks = [FullBatch()] if name == "ours, epoch" else []
        model.fit(data, shuffle=False, verbose=0, callbacks=callbacks)
        moved[name] = np.linalg.norm(flat(model))
    assert moved.pop("Keras") == pytest.approx(2**0.5, rel=1e-5)  # each replica clipped by itself
    assert all(norm == pytest.approx(1.0, rel=1e-5) for norm in moved.values())


def test_the_sum_of_a_replica_is_its_own():
    """Half a pass on two devices: saved, the sum is that of both."""
    x, y = samples(40)
    with scope(devices=2):
        model = compiled(lambda: BatchGD(0.05, gradient_accumulation_steps=4))
        data = full_batches(x, y, SMALL).take(2)
    model.fit(data, shuffle=False, verbose=0)
    alone = compiled(lambda: BatchGD(0.05, gradient_accumulation_steps=4))
    alone.fit(full_batches(x, y, SMALL).take(2), shuffle=False, verbose=0)
    sums = [[s.numpy() * share for s in m.optimizer._window.sums] for m, share in ((model, 1.0), (alone, 1.0))]
    for two, one in zip(*sums, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


@pytest.mark.slow_cases("2-mixed_bfloat16", "2-mixed_float16")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("devices", [1, 2])
def test_mixed_precision_accumulates_in_float32(policy, devices):
    """Close to the whole in the same precision, whose rounding differs by micro-batch."""
    keras.config.set_dtype_policy(policy)
    x, y = samples(N)
    with scope(devices):
        parts = builder()(BatchGD(0.05, 0.9))
        data = full_batches(x, y, SMALL)
    parts.fit(data, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    whole = at_once(builder(), x, y)
    keras.config.set_dtype_policy("float32")
    assert relative(change(parts), change(whole)) < (2e-2 if policy == "mixed_bfloat16" else 2e-3)
    assert parts.optimizer.iterations.numpy() == 3


def test_bfloat16_variables_are_accumulated_in_float32():
    """1 + 256 times 1/256 is 2; in bfloat16, which has 8 bits, the sum would stay 1."""
    keras.config.set_dtype_policy("bfloat16")
    w = keras.Variable([0.0], dtype="bfloat16")
    optimizer = BatchGD(1.0, gradient_accumulation_steps=257)
    for gradient in [1.0] + [1 / 256] * 256:
        optimizer.apply([tf.constant([gradient], tf.bfloat16)], [w])
    assert float(w.numpy()[0]) == pytest.approx(-2 / 257, rel=5e-3)
    assert optimizer._window.sums[0].dtype == "float32"


def test_loss_scaling_that_drops_a_micro_batch_voids_the_pass():
    """A loss scale of 2 ** 40 overflows float16 until it has been halved often enough."""
    keras.config.set_dtype_policy("mixed_float16")
    x, y = samples(40)
    inner = BatchGD(0.05)
    model = compiled(lambda: keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**26))
    start = flat(model)
    history = model.fit(
        x, y, batch_size=SMALL, epochs=6, shuffle=False, verbose=0, callbacks=[FullBatch(), GradientMonitor()]
    )
    skipped, updates = history.history["skipped_updates"], history.history["updates"]
    assert skipped[0] == 1
    assert updates[0] == 0
    assert updates[-1] + skipped[-1] == 6
    assert 0 < updates[-1] < 6
    assert not np.array_equal(flat(model), start)


def with_batch_normalisation():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)])
    model.compile(BatchGD(0.1), "mse")
    return model


def test_batch_normalisation_over_micro_batches_is_told_once_by_one_line():
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    fit = {"x": x, "y": x[:, :1], "verbose": 0}
    model, full = with_batch_normalisation(), FullBatch()
    with pytest.warns(UserWarning, match=r"^FullBatch: the layer 'batch_norm\w*' normalises each .* has none\.$"):
        model.fit(**fit, batch_size=16, callbacks=[full])
    model.fit(**fit, batch_size=16, callbacks=[full])  # a second time it would be an error here
    # Nothing is told of the whole at once, of layers that do not learn, or of blocks that are meant:
    model.fit(**fit, batch_size=64, callbacks=[FullBatch()])
    model.fit(**fit, batch_size=32, callbacks=[FullBatch(), BlockGradient(block_size=16)])
    frozen = with_batch_normalisation()
    frozen.layers[1].trainable = False
    frozen.compile(BatchGD(0.1), "mse")
    frozen.fit(**fit, batch_size=16, callbacks=[FullBatch()])


@pytest.mark.parametrize("name", callbacks.__all__)
def test_a_class_in_place_of_an_object_is_told_in_one_line(name):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(BatchGD(0.1), "mse")
    with pytest.raises(TypeError, match=rf"^{name}: write {name}\(\), with parentheses; `callbacks` takes objects"):
        model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0, callbacks=[getattr(callbacks, name)])
