"""What `FullBatch` counts, when the update is made, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from callbacks import FullBatch, GradientMonitor
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches
from tests.small import change, compiled, flat, loss, network, relative, samples, scope

N, SMALL = 97, 10  # 9 micro-batches of 10 and one of 7


def by_parts(build, *data, batch_size=SMALL, epochs=3, reduction=None, **fit):
    model = build(BatchGD(0.05, 0.9))
    model.fit(
        *data, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=[FullBatch(reduction)], **fit
    )
    return model


def at_once(build, *data, epochs=3, **fit):
    model = build(keras.optimizers.SGD(0.05, 0.9))
    model.fit(*data, batch_size=N, epochs=epochs, shuffle=False, verbose=0, **fit)
    return model


def builder(reduction="sum_over_batch_size", regularizer=None):
    def build(optimizer):
        if reduction == "sum":
            optimizer.learning_rate = 0.05 / N
        return compiled(lambda: optimizer, reduction, regularizer)

    return build


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize("weighting", [None, "sample_weight", "class_weight"])
@pytest.mark.parametrize("regularizer", [None, "l2"])
def test_exact_for_every_reduction_weighting_and_regularizer(reduction, weighting, regularizer):
    x, y = samples(N)
    weights = np.random.default_rng(1).uniform(size=N) * (np.arange(N) % 5 > 0)  # some are 0
    fit = {
        None: {},
        "sample_weight": {"sample_weight": weights},
        "class_weight": {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5, 3: 0.0}},
    }[weighting]
    build = builder(reduction, regularizer)
    parts, whole = by_parts(build, x, y, **fit), at_once(build, x, y, **fit)
    assert relative(change(parts), change(whole)) < 1e-5


def test_samples_without_weight_leave_a_weighted_mean_finite():
    x, y = samples(N)
    weights = (np.arange(N) >= 3 * SMALL).astype("float32")  # whole micro-batches weigh nothing
    build = builder("mean_with_sample_weight")
    parts, whole = (f(build, x, y, sample_weight=weights) for f in (by_parts, at_once))
    assert relative(change(parts), change(whole)) < 1e-5


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


def two_headed(optimizer, reductions=("sum_over_batch_size", "sum_over_batch_size"), **options):
    inputs = keras.Input((8, 8, 1))
    keras.utils.set_random_seed(3)
    x = layers.Flatten()(inputs)
    outputs = [layers.Dense(4, name="a")(x), layers.Dense(1, name="b")(x)]
    model = keras.Model(inputs, outputs)
    losses = [loss(reductions[0]), keras.losses.MeanSquaredError(reduction=reductions[1])]
    model.compile(optimizer=optimizer, loss=losses, loss_weights=[1.0, 0.3], **options)
    return model


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


# When the update is made.


def batches(x, y, size):
    def generate():
        for start in range(0, len(x), size):
            yield x[start : start + size], y[start : start + size]

    signature = (tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,), "int64"))
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras learns the number of batches by that
@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("devices", [1, 2])
def test_batches_of_unknown_number(validation, devices):
    """The update comes before validation, which sees the new weights."""
    n = 90 if devices == 2 else N
    x, y = samples(n)
    fit = {"validation_data": (x, y)} if validation else {}
    with scope(devices):
        model = compiled(lambda: BatchGD(0.05, 0.9))
    history = model.fit(batches(x, y, SMALL), epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()], **fit)
    whole = compiled(lambda: keras.optimizers.SGD(0.05, 0.9))
    expected = whole.fit(x, y, batch_size=n, epochs=3, shuffle=False, verbose=0, **fit)
    assert relative(change(model), change(whole)) < 1e-5
    assert model.optimizer.iterations.numpy() == 3
    if validation:
        assert history.history["val_loss"] == pytest.approx(expected.history["val_loss"], rel=1e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("size", [SMALL, N])
def test_the_step_that_builds_model_and_optimizer_counts(run_eagerly, size):
    def build(optimizer, **options):
        keras.utils.set_random_seed(5)
        model = keras.Sequential([layers.Flatten(), layers.Dense(4)])  # built by its first batch
        model.compile(optimizer=optimizer, loss=loss(), **options)
        return model

    x, y = samples(N)
    model = build(BatchGD(0.05, 0.9), run_eagerly=run_eagerly)
    model.fit(batches(x, y, size), epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert model.optimizer.iterations.numpy() == 3
    assert relative(flat(model), flat(at_once(build, x, y))) < 1e-6


def test_validation_of_known_passes_sees_the_new_weights():
    x, y = samples(N)
    histories = [
        compiled(lambda o=optimizer: o).fit(
            x, y, batch_size=size, epochs=3, shuffle=False, verbose=0, validation_data=(x, y), callbacks=callbacks
        )
        for optimizer, size, callbacks in (
            (BatchGD(0.05), SMALL, [FullBatch()]),
            (keras.optimizers.SGD(0.05), N, []),
        )
    ]
    assert histories[0].history["val_loss"] == pytest.approx(histories[1].history["val_loss"], rel=1e-5)


class StopAt(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.stop_training = True


class Interrupt(StopAt):
    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def test_a_pass_that_is_stopped_early_makes_no_update():
    x, y = samples(N)
    stopped = by_parts(lambda o: compiled(lambda: o), x, y, epochs=2)
    model = compiled(lambda: BatchGD(0.05, 0.9))
    model.fit(x, y, batch_size=SMALL, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch(), StopAt(2, 4)])
    assert model.optimizer.iterations.numpy() == 2
    np.testing.assert_array_equal(flat(model), flat(stopped))


def test_after_an_interruption_the_pass_begins_again():
    x, y = samples(N)
    straight = by_parts(lambda o: compiled(lambda: o), x, y, epochs=3)
    model = compiled(lambda: BatchGD(0.05, 0.9))
    fit = {"batch_size": SMALL, "shuffle": False, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=3, callbacks=[FullBatch(), Interrupt(1, 4)], **fit)
    model.fit(x, y, epochs=2, callbacks=[FullBatch()], **fit)
    np.testing.assert_array_equal(flat(model), flat(straight))


def test_without_the_callback_the_first_step_says_what_is_missing():
    model = compiled(lambda: BatchGD(gradient_accumulation_steps="epoch"))
    with pytest.raises(ValueError, match=r"callbacks\.FullBatch\(\)"):
        model.fit(*samples(20), verbose=0)


@pytest.mark.parametrize("how", ["finished", "interrupted"])
def test_a_later_fit_without_the_callback_is_refused_too(how):
    x, y = samples(N)
    model = compiled(BatchGD)
    fit = {"batch_size": SMALL, "epochs": 1, "verbose": 0}
    if how == "finished":
        model.fit(x, y, callbacks=[FullBatch()], **fit)
    else:
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, callbacks=[FullBatch(), Interrupt(0, 4)], **fit)
    with pytest.raises(ValueError, match=r"callbacks\.FullBatch\(\)"):
        model.fit(x, y, **fit)
    with pytest.raises(ValueError, match=r"callbacks\.FullBatch\(\)"):
        model.train_on_batch(x, y)


def test_fit_leaves_the_model_as_it_was():
    model = compiled(BatchGD)
    overridden = {"train_step", "compute_loss", "make_train_function"}
    model.fit(*samples(N), batch_size=SMALL, verbose=0, callbacks=[FullBatch()])
    assert not overridden & set(vars(model))
    assert model.train_function is None


def test_an_optimizer_that_is_built_is_turned_too():
    x, y = samples(N)
    build = builder()
    whole = at_once(build, x, y, epochs=4)
    model = build(BatchGD(0.05, 0.9))
    model.fit(x, y, batch_size=N, epochs=1, shuffle=False, verbose=0)  # a batch is the full batch
    assert model.optimizer.gradient_accumulation_steps is None
    model.fit(x, y, batch_size=SMALL, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert model.optimizer.get_config()["gradient_accumulation_steps"] == "epoch"
    assert relative(change(model), change(whole)) < 1e-5


def test_steps_per_epoch_is_the_pass():
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(SMALL).repeat()
    model.fit(data, steps_per_epoch=4, epochs=2, shuffle=False, verbose=0, callbacks=[FullBatch()])
    whole = compiled(lambda: keras.optimizers.SGD(0.05))
    whole.fit(x, y, batch_size=40, epochs=2, shuffle=False, verbose=0)
    assert relative(change(model), change(whole)) < 1e-5


def test_a_train_step_of_ones_own():
    class Doubled(keras.Sequential):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                total = 2 * self.compute_loss(x, y, self(x, training=True))
            gradients = tape.gradient(total, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": total}

    def build(optimizer):
        model = Doubled(network().layers)
        model.compile(optimizer=optimizer, loss=loss())
        return model

    x, y = samples(N)
    assert relative(flat(by_parts(build, x, y)), flat(at_once(build, x, y))) < 1e-6


# Several devices.


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
    sums = [[s.numpy() * share for s in m.optimizer._sums] for m, share in ((model, 1.0), (alone, 1.0))]
    for two, one in zip(*sums, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


# What is refused.


def refusal(model, *data, reduction=None):
    with pytest.raises((ValueError, TypeError)) as caught:
        model.fit(*data, batch_size=SMALL, verbose=0, callbacks=[FullBatch(reduction)])
    assert "FullBatch" in str(caught.value)
    return str(caught.value)


def test_refuses_other_optimizers():
    assert "BatchGD" in refusal(compiled(keras.optimizers.Adam), *samples(20))


def test_refuses_losses_of_different_reductions():
    x, y = samples(20)
    message = refusal(two_headed(BatchGD(), ("sum", "sum_over_batch_size")), x, [y, y])
    assert "same `reduction`" in message


def test_refuses_weights_of_several_outputs_under_a_weighted_mean():
    x, y = samples(20)
    model = two_headed(BatchGD(), ("mean_with_sample_weight",) * 2)
    with pytest.raises(ValueError, match="single sample_weight"):
        model.fit(x, [y, y], sample_weight=[y + 1.0, y + 2.0], verbose=0, callbacks=[FullBatch()])


def test_refuses_losses_without_reduction():
    assert "no reduction" in refusal(compiled(BatchGD, reduction=None), *samples(20))


def test_refuses_losses_that_compare_samples():
    model = network()
    model.compile(optimizer=BatchGD(), loss=keras.losses.Circle())
    assert "Circle" in refusal(model, *samples(20))


def test_refuses_losses_that_reduce_by_themselves():
    class Own(keras.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return keras.ops.sum(y_pred**2)

    model = network()
    model.compile(optimizer=BatchGD(), loss=Own())
    assert "Own overrides `__call__`" in refusal(model, *samples(20))


def test_refuses_losses_that_return_a_scalar():
    def scalar(y, p):
        return keras.ops.mean((keras.ops.cast(y, "float32") - p[:, 0]) ** 2)

    model = network()
    model.compile(optimizer=BatchGD(), loss=scalar)
    assert "returns a scalar" in refusal(model, *samples(20))


@pytest.mark.parametrize("where", ["activity_regularizer", "add_loss"])
def test_refuses_losses_of_layers(where):
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(x**2))
            return x

    extra = Adds() if where == "add_loss" else layers.Activation("linear", activity_regularizer="l2")
    model = keras.Sequential([*network().layers, extra])
    model.compile(optimizer=BatchGD(), loss=loss())
    assert "adds a loss of its own" in refusal(model, *samples(20))


def test_refuses_ignored_classes_under_a_mean():
    model = network()
    model.compile(optimizer=BatchGD(), loss=keras.losses.SparseCategoricalCrossentropy(True, ignore_class=1))
    assert "masked" in refusal(model, *samples(20))


def masked(optimizer, reduction):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Masking(), layers.Dense(1)])
    model.compile(optimizer=optimizer, loss=keras.losses.MeanSquaredError(reduction=reduction))
    return model


def test_masks_are_refused_under_a_mean_and_exact_under_a_sum():
    x = np.random.default_rng(0).normal(size=(N, 6, 3)).astype("float32")
    x[np.arange(N)[:, None] % 6 < np.arange(6)] = 0  # sequences of 1 to 6
    y = x.sum(axis=2, keepdims=True)
    assert "mask" in refusal(masked(BatchGD(), "sum_over_batch_size"), x, y)

    def build(optimizer):
        optimizer.learning_rate = 1e-4
        return masked(optimizer, "sum")

    assert relative(flat(by_parts(build, x, y)), flat(at_once(build, x, y))) < 1e-6


class OwnLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True))


def test_an_overridden_loss_is_refused_unless_declared():
    def build(optimizer):
        model = OwnLoss(network().layers)
        model.compile(optimizer=optimizer)
        return model

    x, y = samples(N)
    assert "OwnLoss overrides `compute_loss`" in refusal(build(BatchGD()), x, y)
    parts, whole = by_parts(build, x, y, reduction="mean"), at_once(build, x, y)
    assert relative(change(parts), change(whole)) < 1e-5


def test_a_train_step_without_compute_loss_is_refused_unless_declared():
    class Own(keras.Sequential):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                total = loss()(y, self(x, training=True))
            self.optimizer.apply(tape.gradient(total, self.trainable_variables), self.trainable_variables)
            return {"loss": total}

    def build(optimizer):
        model = Own(network().layers)
        model.compile(optimizer=optimizer, loss=loss())
        return model

    x, y = samples(N)
    assert "does not call `compute_loss`" in refusal(build(BatchGD()), x, y)
    parts, whole = by_parts(build, x, y, reduction="mean"), at_once(build, x, y)
    assert relative(change(parts), change(whole)) < 1e-5


def test_wrong_reductions_are_refused():
    with pytest.raises(ValueError, match="reduction"):
        FullBatch("average")


# Mixed precision.


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
    assert optimizer._sums[0].dtype == "float32"


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


# Gradients that are not finite.


@pytest.mark.parametrize("devices", [1, 2])
def test_five_bad_full_batches_in_a_row_stop_fit_with_one_line(devices, capsys):
    x, y = samples(40)
    x[17, 0, 0, 0] = np.nan
    with scope(devices):
        model = compiled(lambda: BatchGD(0.05, diagnostics=True))
        data = full_batches(x, y, SMALL)
    start = flat(model)
    history = model.fit(data, epochs=20, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert len(history.epoch) == 5
    np.testing.assert_array_equal(flat(model), start)
    said = capsys.readouterr().out.strip()
    assert "not finite 5 times in a row" in said
    assert "\n" not in said
    assert model.optimizer.read_diagnostics()["skipped_updates"] == 5


def test_one_bad_full_batch_is_skipped_and_counted():
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05, 0.9, clipping=ByGlobalNorm(1.0)))
    fit = {"batch_size": SMALL, "shuffle": False, "verbose": 0, "callbacks": [FullBatch()]}
    model.fit(x, y, **fit)
    before = [v.numpy() for v in model.optimizer.momentums], flat(model)
    model.fit(np.where(np.arange(40)[:, None, None, None] == 3, np.inf, x), y, **fit)
    np.testing.assert_array_equal(flat(model), before[1])
    for variable, value in zip(model.optimizer.momentums, before[0], strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    model.fit(x, y, **fit)
    seen = model.optimizer.read_diagnostics()
    assert (seen["updates"], seen["skipped_updates"], seen["skipped_in_a_row"]) == (2, 1, 0)


@pytest.mark.parametrize("devices", [1, 2])
def test_without_a_callback_that_watches_fit_ends_in_an_error(devices):
    x, y = samples(40)
    x[:] = np.nan
    with scope(devices):
        model = compiled(lambda: BatchGD(0.05, clipping=ByGlobalNorm(1.0)))
        data = full_batches(x, y, 4)
    start = flat(model)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite 5 times in a row"):
        model.fit(data, shuffle=False, verbose=0)
    np.testing.assert_array_equal(flat(model), start)
