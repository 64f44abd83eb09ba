"""When `FullBatch` makes the update: unknown lengths, broken passes, gradients that are not finite."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from callbacks import FullBatch, GradientMonitor
from custom_optimizers import BatchGD
from custom_optimizers.clipping import ByGlobalNorm
from recipes.data import full_batches
from tests.callbacks.whole import SMALL, N, at_once, builder, by_parts
from tests.small import change, compiled, flat, loss, network, relative, samples, scope


def batches(x, y, size):
    def generate():
        for start in range(0, len(x), size):
            yield x[start : start + size], y[start : start + size]

    signature = (tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,), "int64"))
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


@pytest.mark.slow_cases("2-False", "2-True")
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
def test_a_later_fit_without_the_callback_makes_an_update_of_each_batch(how):
    """The momentum of the passes goes on; what an interrupted pass had summed does not."""
    x, y = samples(N)
    model, build = builder()(BatchGD(0.05, 0.9)), builder()
    options = {"batch_size": SMALL, "shuffle": False, "verbose": 0}
    model.fit(x, y, epochs=2, callbacks=[FullBatch()], **options)
    if how == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, callbacks=[FullBatch(), Interrupt(0, 4)], **options)
    model.fit(x, y, **options)
    model.train_on_batch(x, y)
    whole = at_once(build, x, y, epochs=2)
    whole.fit(x, y, **options)
    whole.train_on_batch(x, y)
    assert relative(change(model), change(whole)) < 1e-5
    assert model.optimizer.gradient_accumulation_steps is None
    assert model.optimizer.iterations.numpy() == 2 + math.ceil(N / SMALL) + 1


def test_an_optimizer_that_was_made_for_passes_stays_so():
    model = compiled(lambda: BatchGD(gradient_accumulation_steps="epoch"))
    model.fit(*samples(N), batch_size=SMALL, verbose=0, callbacks=[FullBatch()])
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=r"callbacks\.FullBatch\(\)"):
            train(*samples(N))


class Saves(keras.callbacks.Callback):
    """Saves the model after the batches with these numbers."""

    def __init__(self, directory, batches):
        super().__init__()
        self.directory, self.batches = directory, batches

    def on_train_batch_end(self, batch, logs=None):
        if batch in self.batches:
            self.model.save(self.directory / f"{batch}.keras")


def test_a_model_that_is_saved_in_the_middle_of_a_pass_is_the_user_s_own(tmp_path):
    """It loads with its momentum, without a warning, and goes on with or without the callback."""
    x, y = samples(N)
    model = builder()(BatchGD(0.05, 0.9))
    model.fit(x, y, batch_size=SMALL, epochs=2, verbose=0, callbacks=[FullBatch()])
    model.fit(x, y, batch_size=SMALL, verbose=0, callbacks=[FullBatch(), Saves(tmp_path, [4])])
    loaded = keras.saving.load_model(tmp_path / "4.keras")
    assert loaded.optimizer.gradient_accumulation_steps is None
    assert loaded.optimizer.iterations.numpy() == 2
    model = builder()(BatchGD(0.05, 0.9))
    model.fit(x, y, batch_size=SMALL, epochs=2, verbose=0, callbacks=[FullBatch()])
    for each in (model, loaded):
        each.fit(x, y, batch_size=N, shuffle=False, verbose=0)
    np.testing.assert_allclose(flat(loaded), flat(model), rtol=1e-5, atol=1e-7)


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
    assert model.optimizer.get_config()["gradient_accumulation_steps"] is None
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
            x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
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


@pytest.mark.slow_cases("2")
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


@pytest.mark.slow
def test_bad_full_batches_are_skipped_under_xla():
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05, clipping=ByGlobalNorm(1.0)), jit_compile=True)
    start = flat(model)
    fit = {"shuffle": False, "verbose": 0, "callbacks": [FullBatch()]}
    model.fit(full_batches(np.full_like(x, np.nan), y, SMALL), epochs=2, **fit)
    np.testing.assert_array_equal(flat(model), start)
    assert model.optimizer.read_diagnostics()["skipped_updates"] == 2
    model.fit(full_batches(x, y, SMALL), **fit)
    assert model.optimizer.iterations.numpy() == 1


def test_one_bad_full_batch_is_skipped_and_counted():
    x, y = samples(40)
    model = compiled(lambda: BatchGD(0.05, 0.9, clipping=ByGlobalNorm(1.0)))
    fit = {"batch_size": SMALL, "shuffle": False, "verbose": 0, "callbacks": [FullBatch()]}
    model.fit(x, y, **fit)
    before = [v.numpy() for v in model.optimizer.slots[0]], flat(model)
    model.fit(np.where(np.arange(40)[:, None, None, None] == 3, np.inf, x), y, **fit)
    np.testing.assert_array_equal(flat(model), before[1])
    for variable, value in zip(model.optimizer.slots[0], before[0], strict=True):
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


# A life with accidents.


def test_training_goes_on_after_a_divergence_has_been_mended():
    x, y = samples(40)
    bad = np.full_like(x, np.nan)
    model = compiled(lambda: BatchGD(0.05))
    fit = {"batch_size": SMALL, "shuffle": False, "verbose": 0, "epochs": 6}
    model.fit(bad, y, callbacks=[FullBatch(), GradientMonitor()], **fit)
    assert model.optimizer.iterations.numpy() == 0
    history = model.fit(x, y, callbacks=[FullBatch(), GradientMonitor()], **fit)
    assert history.history["updates"] == [1, 2, 3, 4, 5, 6]


class Fails(keras.callbacks.Callback):
    def set_model(self, model):
        raise OSError


def test_attached_but_never_run_is_not_mistaken_for_a_pass():
    x, y = samples(N)
    model = compiled(BatchGD)
    with pytest.raises(OSError):
        model.fit(x, y, verbose=0, callbacks=[FullBatch(), Fails()])
    with pytest.raises(ValueError, match=r"callbacks\.FullBatch\(\)"):
        model.fit(x, y, verbose=0)
    model.fit(x, y, batch_size=SMALL, epochs=2, verbose=0, callbacks=[FullBatch()])
    assert model.optimizer.iterations.numpy() == 2


@pytest.mark.parametrize("what", ["evaluate", "predict"])
def test_what_is_no_fit_leaves_no_trace_in_the_next_one(what):
    x, y = samples(N)
    model = compiled(BatchGD)
    data = (x, y) if what == "evaluate" else (x,)
    getattr(model, what)(*data, verbose=0, callbacks=[FullBatch()])
    model.fit(x, y, batch_size=N, epochs=2, verbose=0)
    assert model.optimizer.iterations.numpy() == 2
    assert model.optimizer.gradient_accumulation_steps is None


def test_methods_that_a_model_has_of_its_own_come_back():
    x, y = samples(N)

    def build(optimizer):
        model = compiled(lambda: optimizer)
        loss_of_class = model.compute_loss
        model.compute_loss = lambda *args, **kwargs: 5 * loss_of_class(*args, **kwargs)
        return model

    whole = at_once(build, x, y)
    with pytest.raises(ValueError, match="compute_loss"):
        by_parts(build, x, y)
    parts = by_parts(build, x, y, reduction="mean")
    assert relative(change(parts), change(whole)) < 1e-5
    assert "<lambda>" in parts.compute_loss.__qualname__


def test_a_function_made_anew_in_the_middle_of_fit():
    """Callbacks that thaw layers do so."""

    class MakesAnew(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.make_train_function(force=True)

    x, y = samples(N)
    model = compiled(lambda: BatchGD(0.05, 0.9))
    model.fit(x, y, batch_size=SMALL, epochs=3, shuffle=False, verbose=0, callbacks=[FullBatch(), MakesAnew()])
    assert relative(change(model), change(at_once(lambda o: compiled(lambda: o), x, y))) < 1e-5


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_pass_that_runs_out_of_data_makes_no_update():
    x, y = samples(100)
    model = compiled(BatchGD)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(SMALL)
    with pytest.warns(UserWarning, match="the data ended before the 7 batches of the pass did"):
        model.fit(data, steps_per_epoch=7, epochs=2, shuffle=False, verbose=0, callbacks=[FullBatch()])
    assert model.optimizer.iterations.numpy() == 1


def test_loss_scaling_that_voids_every_pass_says_what_helps(capsys):
    keras.config.set_dtype_policy("mixed_float16")
    x, y = samples(40)
    model = compiled(lambda: keras.optimizers.LossScaleOptimizer(BatchGD(), initial_scale=2.0**60))
    model.fit(x, y, batch_size=SMALL, epochs=9, shuffle=False, verbose=0, callbacks=[FullBatch()])
    said = capsys.readouterr().out.strip()
    assert "dynamic_growth_steps" in said
    assert "\n" not in said


def test_weights_that_are_all_0_leave_the_model_as_it_is():
    x, y = samples(N)
    model = compiled(lambda: BatchGD(0.05), "mean_with_sample_weight")
    start = flat(model)
    model.fit(x, y, sample_weight=np.zeros(N), batch_size=SMALL, verbose=0, callbacks=[FullBatch()])
    np.testing.assert_array_equal(flat(model), start)


@pytest.mark.slow_cases("2-2", "None-2", "epoch-1", "epoch-2")
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras learns the number of batches by that
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("steps", [None, 2, "epoch"])
def test_a_pass_of_unknown_length_ends_without_a_trace(steps, devices):
    """`fit` finds its end by a step without data, which must not count, update, decay or average anything."""
    x, y = samples(48)
    known = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    changes = []
    for batches in (known, known.filter(lambda x, y: True)):  # whose length nobody knows
        with scope(devices):
            model = compiled(
                lambda: BatchGD(0.1, momentum=0.9, weight_decay=0.1, use_ema=True, gradient_accumulation_steps=steps)
            )
        callbacks = [FullBatch()] if steps == "epoch" else []
        model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
        changes.append((change(model), int(model.optimizer.iterations.numpy())))
    (unknown, made), (reference, expected) = changes[::-1]
    assert made == expected == {None: 9, 2: 4, "epoch": 3}[steps]
    assert relative(unknown, reference) < 1e-6
