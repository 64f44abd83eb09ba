"""Full batches in blocks, as in Geiping et al.: what a block is part of, and what it is not."""

import csv
import types

import keras
import numpy as np
import pytest
from keras import layers

from callbacks import BlockGradient, GradientRegularizer, RecomputeStatistics
from recipes import training
from recipes.cifar10_full_batch import Cifar10FullBatch
from recipes.data import load
from recipes.errors import CommandError
from recipes.layers import FusedBatchNormalization
from recipes.run import Run

ROWS = {  # rows of the paper's table: learning rate, clipping, regulariser, block
    "fb": (0.1, "none", 0.0, 128),
    "fb_long": (0.4, "none", 0.0, 128),
    "fb_clip": (0.4, "by_global_norm:0.25", 0.0, 128),
    "fb_reg": (0.8, "by_global_norm:0.25", 0.5, 128),
    "fb_strong": (0.8, "by_global_norm:0.25", 0.5, 32),
}
TINY = {"width": 8, "train_images": 70, "epochs": 2, "schedule": "constant", "block_size": 16}
TINY["activation"] = "gelu"  # a kink of ReLU makes much of rounding


@pytest.fixture(scope="module")
def images():
    return load("digits", train_images=70, validation_split=0.02, seed=0)


def trained(tmp_path, images, **given):
    """`(rows of metrics.csv, weights)` of a short training."""
    recipe = Cifar10FullBatch(**{**TINY, "learning_rate": 0.05, **given})
    with Run(recipe, tmp_path / "run") as run:
        run.begin(images.about())
        model, _ = training.fit(recipe, run, images, verbose=0)
        with open(run.directory / "metrics.csv", newline="") as file:
            return list(csv.DictReader(file)), [np.array(w) for w in model.get_weights()]


@pytest.mark.parametrize("preset", ROWS)
def test_presets_are_the_rows_of_the_paper(preset):
    recipe = Cifar10FullBatch.from_preset(preset)
    found = (recipe.learning_rate, recipe.clipping, recipe.gradient_regularizer, recipe.block_size)
    assert found == ROWS[preset]
    assert (recipe.steps, recipe.momentum) == ("epoch", None)
    assert (recipe.weight_decay, recipe.weight_decay_mode) == (0.0005, "coupled")


def test_the_defaults_are_the_last_row():
    assert Cifar10FullBatch() == Cifar10FullBatch.from_preset("fb_strong") == Cifar10FullBatch.from_preset()


@pytest.mark.parametrize(("update", "rate"), [(0, 0.0), (200, 0.4), (400, 0.8), (3000, 0.8 * 0.273)])
def test_the_schedule_rises_over_400_updates_and_is_cut_at_3000_of_a_longer_cosine(update, rate):
    images = load("digits", train_images=70)
    schedule = Cifar10FullBatch(width=8).model(images).optimizer._learning_rate
    assert float(schedule(update)) == pytest.approx(rate, rel=2e-3, abs=1e-7)


def test_blocks_of_a_set_that_comes_class_by_class_have_many_classes(images):
    x, y = images.train
    order = np.argsort(y, kind="stable")
    by_class = images._replace(train=(x[order], y[order]))
    first, again = (list(Cifar10FullBatch(**TINY).batches(by_class)) for _ in range(2))
    labels = np.concatenate([np.asarray(targets).reshape(-1, 16) for _, targets, _ in first])[: len(y) // 16]
    assert min(len(set(block)) for block in labels) >= 5
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))


def shallow(input_shape, classes, regularizer=None, *, width, activation, normalize, normalization):
    """A network that takes what ResNet-18 does, and a fraction of its time to trace."""
    convolution = layers.Conv2D(width, 3, strides=2, use_bias=False, kernel_regularizer=regularizer)
    inputs = keras.Input(input_shape)
    x = FusedBatchNormalization(momentum=0.9)(convolution(layers.Rescaling(1 / 16)(inputs)))
    x = layers.GlobalAveragePooling2D()(layers.Activation(activation)(x))
    return keras.Model(inputs, layers.Dense(classes)(x))


def test_any_multiple_of_the_block_gives_the_same_run(tmp_path, images, monkeypatch):
    """Sharpness-aware, in batches of one block and of three, which four blocks do not fill."""
    monkeypatch.setattr("recipes.models.resnet18", shallow)
    given = {"gradient_regularizer": 0.0, "sharpness_aware": 0.05}
    one, other = (trained(tmp_path / str(size), images, batch_size=size, **given) for size in (16, 48))
    the_same(one, other)


@pytest.mark.slow
def test_twenty_regularised_updates_are_the_same_in_batches_of_32_64_and_512(tmp_path):
    """Three blocks of 32; 512 is more images than there are. Higher rates make more of float32's rounding."""
    images = load("digits", train_images=96, validation_split=0.0, seed=0)
    given = {"train_images": 96, "epochs": 20, "block_size": 32, "schedule": "cosine:period=400,warmup=40,start=0"}
    one, *others = (trained(tmp_path / str(size), images, batch_size=size, **given) for size in (32, 64, 512))
    for other in others:
        a, b = (np.concatenate([weight.ravel() for weight in weights]) for _, weights in (one, other))
        assert np.linalg.norm(a - b) < 1e-5 * np.linalg.norm(b)
        assert float(one[0][-1]["loss"]) == pytest.approx(float(other[0][-1]["loss"]), rel=1e-5)


def the_same(one, other):
    """Weights, statistics and logs."""
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(one[0], other[0], strict=True):
        for name in ("loss", "gradient_norm"):
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("remainder", "sizes"), [("drop", [16] * 4), ("smaller", [16] * 4 + [6])])
def test_the_rest_behind_the_last_block_is_a_smaller_one_if_asked_for(tmp_path, images, remainder, sizes):
    """The first loss is the mean over images, each block normalised by its own statistics."""
    given = {"batch_size": 32, "remainder": remainder, "learning_rate": 0.05}
    rows, _ = trained(tmp_path, images, **given)
    recipe = Cifar10FullBatch(**{**TINY, **given})
    x, y = recipe.trained_on(images)
    assert len(x) == sum(sizes)
    model = recipe.model(images)
    blocks = np.split(np.arange(len(x)), np.cumsum(sizes)[:-1])
    losses = [float(model.loss(y[rows], model(x[rows], training=True))) for rows in blocks]
    assert float(rows[0]["loss"]) == pytest.approx(np.average(losses, weights=sizes), rel=1e-5)


def test_mini_batches_of_the_paper_leave_out_the_rest():
    recipe = Cifar10FullBatch.from_preset("sgd")
    assert (recipe.steps, recipe.batch_size, recipe.epochs, recipe.learning_rate) == (1, 128, 300, 0.1)
    assert (recipe.clipping, recipe.gradient_regularizer, recipe.block_size) == ("none", 0.0, None)
    fifty_thousand = types.SimpleNamespace(train=(range(50_000), None))
    assert recipe.updates(fifty_thousand) == 117_000


@pytest.mark.parametrize(
    ("given", "kinds", "block"),
    [
        ({}, [GradientRegularizer, RecomputeStatistics], 16),
        ({"gradient_regularizer": 0.0}, [BlockGradient, RecomputeStatistics], 16),
        ({"gradient_regularizer": 0.0, "block_size": None, "batch_size": 32}, [RecomputeStatistics], 32),
        ({"gradient_regularizer": 0.0, "block_size": None}, [RecomputeStatistics], 70),  # all images there are
        ({"normalization": "group"}, [GradientRegularizer], None),
    ],
)
def test_statistics_are_taken_anew_where_blocks_have_any(images, given, kinds, block):
    recipe = Cifar10FullBatch(**{**TINY, **given})
    found = recipe.callbacks(images, None)
    assert [type(callback) for callback in found] == kinds
    if block:
        assert found[-1].batch_size == block


def test_images_are_in_the_order_of_blocks_without_any_too(images):
    """As in mini-batches of the paper, of which each epoch has another order."""
    recipe = Cifar10FullBatch(**{**TINY, "block_size": None, "gradient_regularizer": 0.0})
    assert not np.array_equal(recipe.trained_on(images)[1], images.train[1])


@pytest.mark.slow
def test_group_normalisation_needs_no_blocks(tmp_path, images):
    given = {"normalization": "group", "block_size": None, "gradient_regularizer": 0.0}
    (one, weights), (_, same) = (trained(tmp_path / str(size), images, batch_size=size, **given) for size in (23, 70))
    assert len(one) == 2
    for a, b in zip(weights, same, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_network_has_the_parameters_of_resnet18():
    from recipes.models import resnet18

    trainable = sum(np.prod(w.shape) for w in resnet18((32, 32, 3), 10).trainable_weights)
    assert trainable == 11_173_962  # torch's, of 3×3 at the stem


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"width": 12}, "--width must be a multiple of 8"),
        ({"width": 0}, "--width must be a multiple of 8"),
        ({"normalization": "layer"}, "no normalization 'layer'"),
        ({"activation": "tanh"}, "no activation 'tanh'"),
        ({"batch_size": 48}, "--batch-size must be a multiple of --block-size 32, such as 32; it is 48"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(CommandError, match=said):
        Cifar10FullBatch(**given)
