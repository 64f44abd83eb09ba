import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from callbacks import FullBatch
from custom_optimizers.units import path_of
from recipes import cifar10_cnn
from recipes.data import full_batches, load
from recipes.errors import CommandError
from recipes.settings.resolve import resolve
from tests.small import flat, relative


def test_the_network_has_no_layer_that_couples_samples():
    model = cifar10_cnn.build_model(cifar10_cnn.Settings(), load("digits"))
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    x = load("digits").test[0][:8]
    together, alone = model(x), np.concatenate([model(x[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_recipe_descends_the_exact_full_batch():
    """Its own settings against SGD of Keras with the whole training part at once, clipped alike."""
    images = load("digits")
    x, y = images.train[0][:300], images.train[1][:300]
    x = x // 2 + np.random.default_rng(0).integers(0, 128, x.shape, np.uint8)  # no ties of max pooling
    small = images._replace(train=(x, y))
    settings = cifar10_cnn.Settings(epochs=4, batch_size=64)
    ours = cifar10_cnn.build_model(settings, small)
    start = flat(ours)
    rate = ours.optimizer.get_config()["learning_rate"]
    ours.fit(full_batches(x, y, 64), epochs=4, shuffle=False, verbose=0, callbacks=[FullBatch()])
    theirs = cifar10_cnn.build_model(settings, small)
    rate = keras.optimizers.schedules.deserialize(rate)
    theirs.compile(keras.optimizers.SGD(rate, 0.9, global_clipnorm=1.0), theirs.loss)
    theirs.fit(x, y, batch_size=300, epochs=4, shuffle=False, verbose=0)
    assert relative(flat(ours) - start, flat(theirs) - start) < 1e-4
    assert relative(flat(ours), flat(theirs)) < 1e-5


@pytest.mark.parametrize(("optimizer", "updates"), [("batch_gd", 20), ("sgd", 220)])
def test_the_learning_rate_rises_and_falls_over_all_updates(optimizer, updates):
    settings = cifar10_cnn.Settings(optimizer=optimizer, epochs=20)
    schedule = cifar10_cnn.build_model(settings, load("digits")).optimizer._learning_rate
    rates = [float(schedule(update)) for update in range(updates + 1)]
    assert max(rates) == pytest.approx(0.2)
    assert int(np.argmax(rates)) == updates // 10
    assert rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("variant", "loss", "penalty"),
    [
        *(("basic", *each) for each in (("cross_entropy", {}), ("mse", {"l2": 0.01}), ("mae", {"l1": 0.002}))),
        *((variant, "mse", {"l2": 0.01}) for variant in cifar10_cnn.VARIANTS if variant != "basic"),
    ],
)
def test_every_loss_and_penalty_is_its_formula(variant, loss, penalty):
    images = load("digits", train_images=64)
    settings = cifar10_cnn.Settings(variant=variant, loss=loss, **penalty)
    model = cifar10_cnn.build_model(settings, images)
    x, y = cifar10_cnn._samples(settings, images, images.train)
    model.run_eagerly = True
    value = model.test_on_batch(x, y)[0]
    outputs = np.asarray(model(x))
    if loss == "cross_entropy":
        expected = log_loss(images.train[1], softmax(outputs, axis=1), labels=range(10))
    else:
        power = {"mse": 2, "mae": 1}[loss]
        expected = np.mean(np.abs(outputs - np.eye(10)[images.train[1]]) ** power)
    kernels = [w.numpy() for w in model.trainable_weights if w.name == "kernel"]
    expected += sum(0.01 * (k**2).sum() if "l2" in penalty else 0.002 * abs(k).sum() for k in kernels if penalty)
    assert value == pytest.approx(expected, rel=1e-5)


def test_the_network_and_the_settings_of_the_articles():
    settings = resolve(cifar10_cnn, {"variant": "basic"})
    assert (settings.optimizer, settings.learning_rate, settings.momentum) == ("sgd", 0.01, 0.9)
    assert (settings.batch_size, settings.epochs) == (32, 10)
    model = cifar10_cnn.build_model(settings, load("digits"))
    assert model.count_params() == (3 * 3 * 3 + 1) * 32 + (15 * 15 * 32 + 1) * 10
    rate = model.optimizer._learning_rate
    for update in (0, 1, 100, 14070):  # Keras 2: lr * 1 / (1 + decay * iterations)
        assert float(rate(update)) == pytest.approx(0.01 / (1 + 0.01 * update))


@pytest.mark.parametrize("variant", cifar10_cnn.VARIANTS)
def test_presets(variant):
    own = resolve(cifar10_cnn, {"variant": variant})
    smoke = resolve(cifar10_cnn, {"variant": variant, "seed": 3}, "smoke")
    assert (smoke.epochs, smoke.seed, smoke.optimizer) == (3, 3, own.optimizer)
    assert resolve(cifar10_cnn, {"variant": variant}, "full_batch").optimizer == "batch_gd"


def test_the_seed_decides_the_weights():
    first, same, other = (
        flat(cifar10_cnn.build_model(cifar10_cnn.Settings(seed=seed), load("digits"))) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_statistics_are_those_of_the_pixels():
    x = load("digits").train[0][:50].copy()
    x[..., 1] = 7  # a channel that says nothing
    mean, deviation = cifar10_cnn.statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5)
    expected = x.reshape(-1, 3).std(axis=0)
    np.testing.assert_allclose(deviation, np.where(expected > 0, expected, 1), rtol=1e-5)


def test_label_smoothing_is_its_formula():
    images = load("digits", train_images=64)
    settings = cifar10_cnn.Settings(label_smoothing=0.2)
    model = cifar10_cnn.build_model(settings, images)
    x, y = cifar10_cnn._samples(settings, images, images.train)
    probabilities = softmax(np.asarray(model(x), "float64"), axis=1)
    expected = -np.mean(np.sum((0.8 * np.eye(10)[images.train[1]] + 0.02) * np.log(probabilities), axis=1))
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(expected, rel=1e-5)


def test_the_settings_of_the_fast_variant_reach_the_optimizer():
    images = load("digits", validation_split=0, train_images=600)
    settings = resolve(cifar10_cnn, {"variant": "fast", "ema_momentum": 0.9, "weight_decay": 0.1})
    model = cifar10_cnn.build_model(settings, images)
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    assert type(optimizer).__name__ == "Muon"
    assert (optimizer.gradient_accumulation_steps, optimizer.weight_decay) == (None, 0.1)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)
    for variable, axes in zip(model.trainable_variables, optimizer.axes, strict=True):
        layer, _, name = path_of(variable).partition("/")
        rate = 250 if name == "beta" else 5 if layer == "head" else 1
        assert (optimizer.multiplier_of(variable), axes) == (rate, (3,) if rate == 1 else None)
    schedule = optimizer._learning_rate
    updates = settings.epochs * 2  # of 600 images in batches of 500
    assert float(schedule(0)) == pytest.approx(settings.learning_rate)
    assert float(schedule(updates)) == pytest.approx(0, abs=1e-6)
    assert len(images.validation[1]) == 0


def test_a_preset_brings_its_variant_and_another_optimizer_leaves_its_own_settings():
    assert resolve(cifar10_cnn, {}, "fast").variant == "fast"
    assert resolve(cifar10_cnn, {"variant": "basic"}, "full_batch").variant == "basic"
    adam = resolve(cifar10_cnn, {"variant": "fast", "optimizer": "adam"})
    assert (adam.momentum, adam.learning_rate_multipliers, adam.label_smoothing) == (None, "", 0.2)
    assert resolve(cifar10_cnn, {"variant": "fast", "optimizer": "sgd", "momentum": 0.5}).momentum == 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "nesterov", "gradient_accumulation_steps": "20", "epochs": 1}, "at most the 11 batches"),
        ({"learning_rate_multipliers": "bata$=2"}, "matches none"),
        ({"weight_decay": 0.1, "exclude_from_weight_decay": "bata$"}, "matches none"),
    ],
)
def test_what_the_images_or_the_network_refuse_is_one_line(given, said):
    with pytest.raises(CommandError, match=said):
        cifar10_cnn.build_model(cifar10_cnn.Settings(**given), load("digits"))


@pytest.mark.parametrize(("variant", "batches"), [("groupnorm", 4), ("fast", 3)])
def test_batch_normalisation_sees_no_smaller_last_batch(variant, batches):
    images = load("digits", validation_split=0, train_images=61)
    settings = resolve(cifar10_cnn, {"variant": variant, "gradient_accumulation_steps": "1", "batch_size": 20})
    assert cifar10_cnn.updates(settings, images) == batches * settings.epochs
    assert cifar10_cnn.batches(settings, images, False).num_batches == batches


def test_several_views_are_judged_beside_one():
    images = load("digits", train_images=64)
    settings = cifar10_cnn.Settings(test_time_augmentation="flip")
    model = cifar10_cnn.build_model(settings, images)
    x, y = images.test
    found = cifar10_cnn.judge(model, settings, images)
    one, mirrored = (np.asarray(model(view)) for view in (x, x[:, :, ::-1]))
    assert found["test_accuracy"] == pytest.approx(np.mean((one + mirrored).argmax(1) == y))
    assert found["test_accuracy_of_one_view"] == pytest.approx(np.mean(one.argmax(1) == y))
    assert "test_accuracy_of_one_view" not in cifar10_cnn.judge(model, cifar10_cnn.Settings(), images)


@pytest.mark.parametrize(("steps", "updates"), [("1", 12), ("4", 3), ("epoch", 3)])
def test_updates_of_so_many_batches(steps, updates):
    images = load("digits", train_images=64)
    given = {"optimizer": "nesterov", "epochs": 3, "batch_size": 16, "gradient_accumulation_steps": steps}
    settings = cifar10_cnn.Settings(**given, validation_split=0.1)
    assert cifar10_cnn.updates(settings, images) == updates
    model = cifar10_cnn.build_model(settings, images)
    callbacks = [FullBatch()] if steps == "epoch" else []
    model.fit(*images.train, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    assert int(model.optimizer.iterations) == updates
