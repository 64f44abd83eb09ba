"""The networks of the speed runs: what their settings come to, and batches that are all of one size."""

import numpy as np
import pytest

from custom_optimizers.units import path_of
from recipes import cifar10_fast
from recipes.cifar10_fast import Cifar10Fast
from recipes.classification import statistics, targets
from recipes.data import load


@pytest.mark.parametrize("variant", Cifar10Fast.variants)
def test_presets(variant):
    own = Cifar10Fast.from_preset(variant=variant)
    smoke = Cifar10Fast.from_preset("smoke", variant=variant, seed=3)
    assert (smoke.epochs, smoke.seed, smoke.optimizer, smoke.steps) == (3, 3, own.optimizer, 1)
    assert (smoke.train_images, smoke.variant) == (300, variant)
    assert own == Cifar10Fast.from_preset(variant)  # a preset brings its variant
    assert (own.default_dtype, own.validation_split) == ("auto", 0.0)


@pytest.mark.parametrize("variant", Cifar10Fast.variants)
def test_the_loss_and_the_penalty_are_their_formulas(variant):
    images = load("digits", train_images=64)
    model = Cifar10Fast(variant=variant, loss="mse", l2=0.01).model(images)
    x, y = images.train[0], targets(images.train[1], "mse", 10)
    model.run_eagerly = True
    value = model.test_on_batch(x, y)[0]
    expected = np.mean((np.asarray(model(x)) - np.eye(10)[images.train[1]]) ** 2)
    expected += sum(0.01 * (w.numpy() ** 2).sum() for w in model.trainable_weights if w.name == "kernel")
    assert value == pytest.approx(expected, rel=1e-5)


def test_the_settings_of_the_fast_variant_reach_the_optimizer():
    images = load("digits", validation_split=0, train_images=600)
    recipe = Cifar10Fast.from_preset(ema_momentum=0.9, weight_decay=0.1)
    model = recipe.model(images)
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
    assert recipe.drops_remainder  # of 600 images in batches of 500
    assert recipe.updates(images) == recipe.epochs
    assert float(schedule(0)) == pytest.approx(recipe.learning_rate)
    assert float(schedule(recipe.updates(images))) == pytest.approx(0, abs=1e-6)
    assert len(images.validation[1]) == 0


@pytest.mark.parametrize("variant", Cifar10Fast.variants)
def test_batch_normalisation_sees_no_smaller_last_batch(variant):
    images = load("digits", validation_split=0, train_images=61)
    recipe = Cifar10Fast.from_preset(variant=variant, batch_size=20)
    assert recipe.updates(images) == 3 * recipe.epochs
    assert recipe.batches(images).num_batches == 3
    few = Cifar10Fast.from_preset(variant=variant, batch_size=80)  # more than there are
    assert few.batches(images).num_batches == 1


def test_full_batches_leave_nothing_out():
    images = load("digits", validation_split=0, train_images=61)
    recipe = Cifar10Fast(batch_size=20)
    assert recipe.steps == "epoch"
    assert [len(x) for x, _, _ in recipe.batches(images)] == [20] * 4


@pytest.mark.parametrize("variant", Cifar10Fast.variants)
def test_the_images_are_normalised_by_their_own_statistics(variant):
    images = load("digits", train_images=64)
    network = Cifar10Fast.from_preset(variant=variant).network(images)
    mean, deviation = statistics(images.train[0])
    normalised = network.layers[1]
    x = images.train[0][:2].astype("float32")
    np.testing.assert_allclose(np.asarray(normalised(x)), (x - mean) / deviation, rtol=1e-3, atol=1e-3)


def test_the_whitening_is_of_images_of_all_classes(monkeypatch):
    """Folders are read one class after the other."""
    monkeypatch.setattr(cifar10_fast, "WHITENED", 20)
    images = load("digits", train_images=64)
    order = np.argsort(images.train[1], kind="stable")
    by_class = images._replace(train=tuple(part[order] for part in images.train))
    seen = []
    layer = type(Cifar10Fast.from_preset().network(images).get_layer("whitening"))
    monkeypatch.setattr(layer, "adapt", lambda self, x: seen.append(x))
    Cifar10Fast.from_preset().network(by_class)
    (x,) = seen
    mean, deviation = statistics(by_class.train[0])
    np.testing.assert_allclose(x, (by_class.train[0][::4] - mean) / deviation, rtol=1e-6)
    assert set(by_class.train[1][::4]) == set(range(10))
    assert len(x) <= 20


def test_xla_does_not_compile_what_it_makes_slower(monkeypatch):
    for slower, expected in ((True, False), (False, "auto")):
        monkeypatch.setattr(cifar10_fast, "slower_by_xla", lambda slower=slower: slower)
        assert Cifar10Fast().jit_compile == expected
