import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from callbacks import FullBatch
from recipes.cifar10_cnn import Cifar10CNN
from recipes.classification import targets
from recipes.data import full_batches, load
from recipes.errors import CommandError
from tests.small import flat, relative


def test_the_network_has_no_layer_that_couples_samples():
    model = Cifar10CNN().model(load("digits"))
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
    recipe = Cifar10CNN(epochs=4, batch_size=64)
    ours = recipe.model(small)
    start = flat(ours)
    rate = ours.optimizer.get_config()["learning_rate"]
    ours.fit(full_batches(x, y, 64), epochs=4, shuffle=False, verbose=0, callbacks=[FullBatch()])
    theirs = recipe.model(small)
    rate = keras.optimizers.schedules.deserialize(rate)
    theirs.compile(keras.optimizers.SGD(rate, 0.9, global_clipnorm=1.0), theirs.loss)
    theirs.fit(x, y, batch_size=300, epochs=4, shuffle=False, verbose=0)
    assert relative(flat(ours) - start, flat(theirs) - start) < 1e-4
    assert relative(flat(ours), flat(theirs)) < 1e-5


@pytest.mark.parametrize(("optimizer", "updates"), [("batch_gd", 20), ("sgd", 220)])
def test_the_learning_rate_rises_and_falls_over_all_updates(optimizer, updates):
    recipe = Cifar10CNN(optimizer=optimizer, epochs=20)
    schedule = recipe.model(load("digits")).optimizer._learning_rate
    assert recipe.updates(load("digits")) == updates
    rates = [float(schedule(update)) for update in range(updates + 1)]
    assert max(rates) == pytest.approx(0.2)
    assert int(np.argmax(rates)) == updates // 10
    assert rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("variant", "loss", "penalty"),
    [
        *(("basic", *each) for each in (("cross_entropy", {}), ("mse", {"l2": 0.01}), ("mae", {"l1": 0.002}))),
        ("groupnorm", "mse", {"l2": 0.01}),
    ],
)
def test_every_loss_and_penalty_is_its_formula(variant, loss, penalty):
    images = load("digits", train_images=64)
    model = Cifar10CNN(variant=variant, loss=loss, **penalty).model(images)
    x, y = images.train[0], targets(images.train[1], loss, 10)
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
    recipe = Cifar10CNN.from_preset(variant="basic")
    assert (recipe.optimizer, recipe.learning_rate) == ("sgd", 0.01)
    assert (recipe.batch_size, recipe.epochs) == (32, 10)
    model = recipe.model(load("digits"))
    assert model.optimizer.momentum == 0.9
    assert model.count_params() == (3 * 3 * 3 + 1) * 32 + (15 * 15 * 32 + 1) * 10
    rate = model.optimizer._learning_rate
    for update in (0, 1, 100, 14070):  # Keras 2: lr * 1 / (1 + decay * iterations)
        assert float(rate(update)) == pytest.approx(0.01 / (1 + 0.01 * update))


@pytest.mark.parametrize("variant", Cifar10CNN.variants)
def test_presets(variant):
    own = Cifar10CNN.from_preset(variant=variant)
    smoke = Cifar10CNN.from_preset("smoke", variant=variant, seed=3)
    assert (smoke.epochs, smoke.seed, smoke.optimizer) == (3, 3, own.optimizer)
    assert Cifar10CNN.from_preset("full_batch", variant=variant).optimizer == "batch_gd"


def test_the_seed_decides_the_weights():
    first, same, other = (flat(Cifar10CNN(seed=seed).model(load("digits"))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_label_smoothing_is_its_formula():
    images = load("digits", train_images=64)
    model = Cifar10CNN(label_smoothing=0.2).model(images)
    x, y = images.train[0], targets(images.train[1], "cross_entropy", 10, 0.2)
    probabilities = softmax(np.asarray(model(x), "float64"), axis=1)
    expected = -np.mean(np.sum((0.8 * np.eye(10)[images.train[1]] + 0.02) * np.log(probabilities), axis=1))
    assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(expected, rel=1e-5)


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
        Cifar10CNN(**given).model(load("digits"))


class Quiet:
    """A run that leaves nothing behind."""

    def write_arrays(self, name, **arrays):
        pass


def test_several_views_are_judged_beside_one():
    images = load("digits", train_images=64)
    recipe = Cifar10CNN(test_time_augmentation="flip")
    model = recipe.model(images)
    x, y = images.test
    found = recipe.judge(model, images, Quiet())
    one, mirrored = (np.asarray(model(view)) for view in (x, x[:, :, ::-1]))
    assert found["test_accuracy"] == pytest.approx(np.mean((one + mirrored).argmax(1) == y))
    assert found["test_accuracy_of_one_view"] == pytest.approx(np.mean(one.argmax(1) == y))
    assert "test_accuracy_of_one_view" not in Cifar10CNN().judge(model, images, Quiet())


@pytest.mark.parametrize(("steps", "updates"), [("1", 12), ("4", 3), ("epoch", 3)])
def test_updates_of_so_many_batches(steps, updates):
    images = load("digits", train_images=64)
    given = {"optimizer": "nesterov", "epochs": 3, "batch_size": 16, "gradient_accumulation_steps": steps}
    recipe = Cifar10CNN(**given, validation_split=0.1)
    assert recipe.updates(images) == updates
    model = recipe.model(images)
    callbacks = [FullBatch()] if steps == "epoch" else []
    model.fit(*images.train, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    assert int(model.optimizer.iterations) == updates


def test_a_smaller_last_batch_is_trained_on():
    images = load("digits", validation_split=0, train_images=61)
    recipe = Cifar10CNN(gradient_accumulation_steps="1", batch_size=20)
    assert recipe.updates(images) == 4 * recipe.epochs
    assert recipe.batches(images).num_batches == 4


@pytest.mark.parametrize(
    ("given", "preset", "recipe"),
    [
        ({"variant": "fast"}, None, "cifar10_fast"),
        ({"variant": "full_batch"}, "fb", "cifar10_full_batch"),
        ({}, "fb_strong", "cifar10_full_batch"),
        ({}, "resnet9", "cifar10_fast"),
    ],
)
def test_what_is_another_recipe_now_is_refused_with_its_name(given, preset, recipe):
    with pytest.raises(CommandError, match=f"is of the recipe {recipe} now"):
        Cifar10CNN.from_preset(preset, **given)


@pytest.mark.parametrize("given", [{"weight_decay_mode": "coupled"}, {"exclude_from_weight_decay": "kernel"}])
def test_settings_of_a_decay_that_there_is_none_of_are_refused(given):
    for optimizer in ("batch_gd", "sgd", "adam", "accumulate:adam"):
        with pytest.raises(CommandError, match="has no decay of its own, so give --weight-decay"):
            Cifar10CNN(optimizer=optimizer, **given)
    assert Cifar10CNN(optimizer="adamw", **given).weight_decay is None  # its own is 0.004
