"""Gradients of blocks, and what is made of them: against TensorFlow's own differentiation, and each other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from callbacks import BlockGradient, FullBatch, GradientRegularizer, SharpnessAware
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches

N, RATE = 96, 0.25  # a rate that float32 has exactly
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 5)).astype("float32").astype("float64"), RNG.integers(3, size=N)


def smooth(dtype="float64"):
    keras.utils.set_random_seed(1)
    keras.config.set_floatx(dtype)
    try:
        layers = [keras.layers.Dense(7, "tanh", dtype=dtype), keras.layers.Dense(3, dtype=dtype)]
        model = keras.Sequential([keras.Input((5,), dtype=dtype), *layers])
    finally:
        keras.config.set_floatx("float32")
    return model


def normalised(batch_norm=True):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(7, use_bias=False), keras.layers.BatchNormalization(), keras.layers.Activation("tanh")]
    return keras.Sequential([keras.Input((5,)), *(layers if batch_norm else layers[::2]), keras.layers.Dense(3)])


def fitted(model, callbacks, batch_size=N, epochs=1, optimizer=None, sample_weight=None, n=N, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype=model.layers[-1].dtype)
    model.compile(optimizer or BatchGD(RATE), loss, weighted_metrics=["accuracy"], **options)
    data = (X[:n].astype("float32"), Y[:n])
    history = model.fit(
        *data,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        sample_weight=sample_weight,
    ).history
    return history, [np.array(w) for w in model.get_weights()]


def loss_of(model, weights, x, y):
    """The loss as a function of the weights of `smooth`, written out."""
    first, bias, second, last = weights
    logits = tf.tanh(x @ first + bias) @ second + last
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))


def regularised(weights, block_size, strength):
    """Gradient of the mean over blocks of loss and penalty, by two tapes."""
    total = [np.zeros(w.shape) for w in weights]
    starts = range(0, N, block_size)
    for start in starts:
        values = [tf.constant(w) for w in weights]
        x, y = tf.constant(X[start : start + block_size]), Y[start : start + block_size]
        with tf.GradientTape() as outer:
            outer.watch(values)
            with tf.GradientTape() as inner:
                inner.watch(values)
                loss = loss_of(None, values, x, y)
            gradients = inner.gradient(loss, values)
            penalty = RATE * strength / 8 * tf.add_n([tf.reduce_sum(g * g) for g in gradients])
        products = outer.gradient(penalty, values)
        total = [t + (g + p).numpy() for t, g, p in zip(total, gradients, products, strict=True)]
    return [t / len(starts) for t in total]


@pytest.mark.parametrize(
    ("options", "bound"),
    [({"epsilon": 1e-3}, 1e-3), ({}, 1e-2), ({"method": "hessian"}, 1e-5)],
)
@pytest.mark.parametrize("block_size", [None, 16])
def test_the_regulariser_is_the_gradient_of_its_penalty(options, bound, block_size):
    """The penalty's own part of the gradient, in float64."""
    model = smooth()
    begin = [np.array(w) for w in model.get_weights()]
    callbacks = [GradientRegularizer(0.5, **options, block_size=block_size)]
    _, end = fitted(model, callbacks)
    plain = regularised(begin, N, 0.0)
    wanted = [r - p for r, p in zip(regularised(begin, block_size or N, 0.5), plain, strict=True)]
    found = [(b - e) / RATE - p for b, e, p in zip(begin, end, plain, strict=True)]
    error = sum(np.sum((f - w) ** 2) for f, w in zip(found, wanted, strict=True))
    assert error**0.5 < bound * sum(np.sum(w**2) for w in wanted) ** 0.5


def test_sharpness_aware_descends_the_gradient_of_where_the_loss_is_highest():
    model = smooth()
    begin = [np.array(w) for w in model.get_weights()]
    _, end = fitted(model, [SharpnessAware(rho=0.2)])
    gradients = regularised(begin, N, 0.0)
    norm = sum(np.sum(g**2) for g in gradients) ** 0.5
    there = regularised([b + 0.2 * g / norm for b, g in zip(begin, gradients, strict=True)], N, 0.0)
    for b, e, g in zip(begin, end, there, strict=True):
        np.testing.assert_allclose(e, b - RATE * g, rtol=1e-10, atol=1e-13)


def test_a_plain_block_without_batch_normalisation_is_keras_s_own_gradient():
    weights = RNG.uniform(0.5, 2, N)
    own = fitted(smooth(), [], optimizer=keras.optimizers.SGD(RATE), epochs=3, sample_weight=weights)
    ours = fitted(smooth(), [BlockGradient(12)], epochs=3, sample_weight=weights)
    for a, b in zip(own[1], ours[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)  # sample weights are float32
    for name, values in own[0].items():
        np.testing.assert_allclose(values, ours[0][name], rtol=1e-6)


def optimizer():
    rate = keras.optimizers.schedules.CosineDecay(0.0, 20, warmup_target=0.5, warmup_steps=5)
    return BatchGD(rate, momentum=0.9, nesterov=True, velocity="torch", clipping=ByGlobalNorm(0.25))


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [BlockGradient, lambda size: GradientRegularizer(block_size=size), lambda size: SharpnessAware(block_size=size)],
)
@pytest.mark.parametrize("batch_size", [32, N])
def test_blocks_are_of_the_model_and_not_of_the_batches(callback, batch_size):
    """Batch normalisation over blocks of 16: weights, running statistics and logs after 20 updates."""
    one, other = (fitted(normalised(), [FullBatch(), callback(16)], size, 20, optimizer()) for size in (16, batch_size))
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for name, values in one[0].items():
        np.testing.assert_allclose(values, other[0][name], rtol=1e-5)


@pytest.mark.slow
def test_without_batch_normalisation_any_micro_batch_gives_the_same_run():
    one, other = (fitted(normalised(False), [FullBatch(), BlockGradient()], size, 5, optimizer()) for size in (7, N))
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_blocks_that_only_fill_a_batch_leave_no_trace():
    """Two blocks of weight 0 behind four: gradients, statistics and accuracy are those of the four."""
    weights = (np.arange(N) < 64).astype("float32")
    whole = fitted(normalised(), [BlockGradient(16)], 64, 5, n=64)
    filled = fitted(normalised(), [BlockGradient(16)], N, 5, BatchGD(RATE * N / 64), sample_weight=weights)
    for a, b in zip(whole[1], filled[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole[0]["accuracy"], filled[0]["accuracy"])


@pytest.mark.parametrize("callback", [GradientRegularizer, SharpnessAware], ids=lambda each: each.__name__)
def test_rows_that_fill_the_last_batch_change_nothing(callback):
    """The same run of 96 samples in batches of 32, of 64 (32 rows fill the second) and of 96."""
    data = X.astype("float32"), Y
    ends = []
    for batch_size in (32, 64, 96):
        model = smooth("float32")
        model.compile(BatchGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        options = {"strength": 5.0} if callback is GradientRegularizer else {"rho": 0.2}
        callbacks = [FullBatch(), callback(block_size=32, **options)]
        model.fit(full_batches(*data, batch_size), epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
        ends.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-5, atol=1e-6)


def test_a_batch_smaller_than_a_block_is_a_block():
    history, _ = fitted(normalised(), [FullBatch(), BlockGradient(64)], 64, 2)
    assert np.isfinite(history["loss"]).all()


def test_the_rate_of_the_penalty_is_that_of_the_update():
    """A rate of 0 in the first update: the penalty has no part in it, and it has in the second."""
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.0, RATE])
    plain, penal = (
        fitted(smooth(), [c], epochs=2, optimizer=BatchGD(rate))[1] for c in (BlockGradient(), GradientRegularizer())
    )
    assert max(np.abs(a - b).max() for a, b in zip(plain, penal, strict=True)) > 1e-5
    before = smooth().get_weights()
    after = fitted(smooth(), [GradientRegularizer()], optimizer=BatchGD(rate))[1]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


@pytest.mark.slow
def test_under_xla_and_with_dropout_it_is_the_same_mask_twice():
    """With rho next to 0 the second gradient is the first, if the masks are the same."""

    def model():
        keras.utils.set_random_seed(1)
        return keras.Sequential(
            [keras.Input((5,)), keras.layers.Dense(7), keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(3)]
        )

    plain, aware = (
        fitted(model(), [c], epochs=3, jit_compile=True)[1] for c in (BlockGradient(), SharpnessAware(1e-6))
    )
    for a, b in zip(plain[:-1], aware[:-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_on_two_devices_each_takes_its_blocks():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    with strategy.scope():
        two = fitted(normalised(False), [FullBatch(), GradientRegularizer(block_size=16)], 32, 5, optimizer())
    one = fitted(normalised(False), [FullBatch(), GradientRegularizer(block_size=16)], 32, 5, optimizer())
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_block_of_no_size_is_refused(size):
    with pytest.raises(ValueError, match="`block_size` must be an int >= 1"):
        BlockGradient(size)


def test_what_cannot_be_is_refused():
    data = tf.data.Dataset.from_tensor_slices((X.astype("float32"), Y)).batch(N, drop_remainder=True)
    model = normalised()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="batches of 96 are no multiple of block_size=36; take 108"):
        model.fit(data, shuffle=False, callbacks=[BlockGradient(36)], verbose=0)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"))
    with pytest.raises(ValueError, match="must be a mean over the batch"):
        model.fit(data, shuffle=False, callbacks=[BlockGradient(12)], verbose=0)
    own = OwnStep(model.inputs, model.outputs)
    own.compile("sgd", "mse")
    with pytest.raises(ValueError, match="OwnStep has a `train_step` of its own"):
        own.fit(data, shuffle=False, callbacks=[BlockGradient()], verbose=0)


def test_the_next_fit_is_keras_s_own_again():
    model = smooth()
    fitted(model, [SharpnessAware(0.5)])
    begin = model.get_weights()
    plain = fitted(model, [], optimizer=keras.optimizers.SGD(RATE))[1]
    gradients = regularised(begin, N, 0.0)
    for b, p, g in zip(begin, plain, gradients, strict=True):
        np.testing.assert_allclose(p, b - RATE * g, rtol=1e-9, atol=1e-12)
