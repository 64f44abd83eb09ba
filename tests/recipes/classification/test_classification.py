"""What recipes of image classifiers share: which settings go together, images of a shape, a judge that looks once."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, log_loss

from recipes import training
from recipes.classification.views import views
from recipes.data import load
from recipes.errors import CommandError, WorldError
from tests.recipes.scans_mlp import ScansMLP

TINY = {"width": 8, "depth": 1, "train_images": 60, "epochs": 2}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, "--momentum: adam has no momentum"),
        ({"optimizer": "sgd", "momentum": 1.5}, "--momentum must lie in 0 to 1; it is 1.5"),
        ({"optimizer": "sgd", "gradient_accumulation_steps": "epoch"}, "accumulate:sgd makes full batches"),
        ({"gradient_accumulation_steps": "0"}, "--gradient-accumulation-steps must be a number of batches >= 1"),
        ({"weight_decay_mode": "coupled"}, "--weight-decay-mode .* without effect: batch_gd .* so give --weight-decay"),
        ({"exclude_from_weight_decay": "bias"}, "without effect: batch_gd has no decay of its own"),
        ({"exclude_from_weight_decay": "("}, r"--exclude-from-weight-decay \(: '\(' is no regular expression"),
        ({"learning_rate_multipliers": "bias"}, "--learning-rate-multipliers bias: write expression=number for 'bias'"),
        ({"label_smoothing": 0.1, "loss": "mse"}, "--label-smoothing is of --loss cross_entropy"),
        ({"label_smoothing": 1.0}, r"--label-smoothing must be a number in \[0, 1\); it is 1.0"),
        ({"keep": "best", "ema_momentum": 0.9}, "leave out --ema-momentum"),
        ({"keep": "best", "validation_split": 0.0}, "--validation-split must be > 0"),
        ({"early_stopping": 3, "validation_split": 0.0}, "--validation-split must be > 0"),
        ({"early_stopping": 0}, "--early-stopping must be a whole number >= 1; it is 0"),
        ({"keep": "first"}, "--keep: no keep 'first'; there are: best, last"),
        ({"test_time_augmentation": "flop"}, "did you mean flip"),
        ({"learning_rate": 0}, r"--learning-rate must be a number in \(0, 1e\+38\); it is 0"),
        ({"learning_rate": 1e38}, "--learning-rate must be"),
        ({"weight_decay": -1}, "--weight-decay must be"),
        ({"ema_momentum": 1}, "--ema-momentum must be"),
        ({"train_images": 0}, "--train-images must be"),
        ({"validation_split": 1}, "--validation-split must be"),
        ({"batch_size": 0}, "--batch-size must be"),
        ({"epochs": 2**31}, "--epochs must be"),
        ({"seed": 2**32}, "--seed must be a whole number from 0 to 4294967295"),
        ({"seed": -1}, "--seed must be"),
        ({"data": "mnist"}, "--data mnist: no data set 'mnist'"),
        ({"loss": "huber"}, "--loss: no loss 'huber'"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(CommandError, match=said):
        ScansMLP(**given)


def test_keras_s_optimizers_have_a_decay_of_their_own():
    assert ScansMLP(optimizer="adamw", exclude_from_weight_decay="bias").weight_decay is None


@pytest.mark.parametrize(
    ("optimizer", "given", "momentum"),
    [
        ("batch_gd", None, 0.9),
        ("sgd", None, 0.9),
        ("lookahead:sgd", None, 0.9),
        ("nesterov", None, 0.9),
        ("quasi_hyperbolic", None, 0.999),
        ("rmsprop", None, 0.0),
        ("batch_gd", 0.0, 0.0),
        ("sgd", 0.5, 0.5),
        ("nesterov", 0.5, 0.5),
    ],
)
def test_the_momentum_unless_it_is_given(optimizer, given, momentum):
    recipe = ScansMLP(**TINY, optimizer=optimizer, momentum=given)
    made = recipe.make_optimizer(recipe.load())
    assert recipe.momentum == given
    assert getattr(made, "inner", made).momentum == momentum


@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "muon", "sgd", "lookahead:adam"])
def test_another_optimizer_is_all_that_has_to_be_said(optimizer):
    recipe = ScansMLP.from_preset("smoke", width=8)
    other = dataclasses.replace(recipe, optimizer=optimizer)
    assert other == ScansMLP.from_preset("smoke", width=8, optimizer=optimizer)
    assert (recipe.momentum, other.momentum) == (None, None)
    own = dataclasses.replace(recipe, momentum=0.5)
    assert dataclasses.replace(own, optimizer="sgd").momentum == 0.5
    with pytest.raises(CommandError, match="--momentum: adam has no momentum"):
        dataclasses.replace(own, optimizer="adam")


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (16, 24, 3), (32, 32, 3)])
def test_images_are_of_the_shape_of_the_recipe(shape):
    class Shaped(ScansMLP):
        """Other images."""

    Shaped.shape = shape
    recipe = Shaped(**TINY)
    images = recipe.load()
    assert {x.shape[1:] for x, _ in (images.train, images.validation, images.test)} == {shape}
    assert recipe.network(images).input.shape[1:] == shape
    assert images.digest == load("digits").digest  # it is of the scans, whatever they are enlarged to


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1, 1), [28, 28, 1], (0, 28, 1), (28.0, 28, 1), 28, None])
def test_a_shape_that_is_none_is_refused_when_the_class_is_made(shape):
    with pytest.raises(TypeError, match=r"^Wrong: `shape` must be a tuple of whole numbers >= 1, .*; it is "):
        type("Wrong", (ScansMLP,), {"__doc__": "Other images.", "shape": shape})


def layered(*layers):
    return keras.Sequential([*layers])


class Subclassed(keras.Model):
    """A model whose inputs are not known before it is called."""

    def __init__(self, units):
        super().__init__()
        self.first, self.last = keras.layers.Flatten(), keras.layers.Dense(units)

    def call(self, x):
        return self.last(self.first(x))


def of_images_and_more():
    images, more = keras.Input((28, 28, 1)), keras.Input((2,))
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(images), more])
    return keras.Model([images, more], keras.layers.Dense(10)(joined))


def with_network(make):
    class Own(ScansMLP):
        """A network of its own."""

        def network(self, data):
            return make()

    return Own(**TINY)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: None, r"gives nothing \(is there a `return`\?\), not a keras\.Model"),
        (lambda: keras.layers.Dense(10), r"gives a Dense, not a keras\.Model"),
        (
            lambda: layered(keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(1)),
            r"gives a model that ends in \(None, 1\); a logit for each class is \(None, 10\)",
        ),
        (
            lambda: layered(keras.Input((28, 28, 1)), keras.layers.Dense(10)),
            r"gives a model that ends in \(None, 28, 28, 10\); a logit for each class",
        ),
        (lambda: layered(keras.layers.Flatten(), keras.layers.Dense(9)), r"ends in \(None, 9\);"),
        (lambda: Subclassed(11), r"ends in \(None, 11\);"),
        (
            lambda: layered(keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)),
            r"gives a model that takes \(None, 32, 32, 3\); images of its `shape` are \(None, 28, 28, 1\)",
        ),
        (
            of_images_and_more,
            r"takes \(None, 28, 28, 1\) and \(None, 2\);",
        ),
    ],
)
def test_a_network_that_is_none_is_one_line(make, said):
    recipe = with_network(make)
    with pytest.raises(WorldError, match=f"^`network` of Own .*{said}"):
        recipe.model(recipe.load())


@pytest.mark.parametrize(
    "make",
    [
        lambda: layered(keras.layers.Flatten(), keras.layers.Dense(10)),
        lambda: Subclassed(10),
        lambda: layered(
            keras.Input((None, None, 1)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)
        ),  # images of any size
    ],
)
def test_a_network_may_have_no_shape_before_it_is_called(make):
    recipe = with_network(make)
    model = recipe.model(recipe.load())
    assert model.built
    assert model.count_params() > 0


class Quiet:
    """A run that keeps what it is given."""

    def __init__(self):
        self.arrays = {}

    def write_arrays(self, name, **arrays):
        self.arrays[name] = arrays


class Looks:
    """How many images of the test part, or views of them, `predict` and `evaluate` see."""

    def __init__(self, monkeypatch, images):
        self.known = {image.tobytes() for view, _ in views(images.test[0], "flip_shift") for image in view}
        self.seen = {"predict": 0, "evaluate": 0}
        for name in self.seen:
            monkeypatch.setattr(keras.Model, name, self.counted(name, getattr(keras.Model, name)))

    def counted(self, name, method):
        def watched(model, x=None, *rest, **options):
            batches = [x] if isinstance(x, np.ndarray) else [np.asarray(batch[0]) for batch in x]
            self.seen[name] += sum(image.tobytes() in self.known for batch in batches for image in batch)
            return method(model, x, *rest, **options)

        return watched


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("name", "looks"), [("none", 1), ("flip", 2), ("flip_shift", 6)])
def test_each_view_of_each_test_image_is_looked_at_once(monkeypatch, name, looks, loss):
    recipe = ScansMLP(**TINY, test_time_augmentation=name, loss=loss, batch_size=180)
    images, run = recipe.load(), Quiet()
    model = recipe.model(images)
    asked = Looks(monkeypatch, images)
    found = recipe.judge(model, images, run)
    assert asked.seen == {"predict": looks * 360, "evaluate": 0}
    assert found["test_images"] == 360
    assert ("test_accuracy_of_one_view" in found) == (looks > 1)
    x, y = images.test
    outputs = np.asarray(model(x), "float64")
    one = found.get("test_accuracy_of_one_view", found["test_accuracy"])
    assert one == pytest.approx(accuracy_score(y, outputs.argmax(axis=1)))
    if loss == "cross_entropy":
        assert found["test_loss"] == pytest.approx(log_loss(y, softmax(outputs, axis=1)), rel=1e-5)
    else:
        assert found["test_loss"] == pytest.approx(np.mean((outputs - np.eye(10)[y]) ** 2), rel=1e-5)
    counts = run.arrays["confusion.npz"]["counts"]
    assert counts.sum() == 360
    assert np.trace(counts) / 360 == pytest.approx(found["test_accuracy"])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_judge_is_that_of_evaluate(smoothing):
    recipe = ScansMLP(**TINY, label_smoothing=smoothing)
    images = recipe.load()
    model = recipe.model(images)
    y = np.eye(10)[images.test[1]] if smoothing else images.test[1]
    loss, accuracy = model.evaluate(images.test[0], y, verbose=0)
    found = recipe.judge(model, images, Quiet())
    assert (found["test_loss"], found["test_accuracy"]) == pytest.approx((loss, accuracy), rel=1e-5)


def test_training_and_evaluating_look_at_the_test_part_once_each_and_after_training(monkeypatch, tmp_path, said):
    recipe = ScansMLP.from_preset("smoke", width=8, batch_size=180, test_time_augmentation="flip")
    images = recipe.load()
    asked = Looks(monkeypatch, images)
    result, directory = training.train(recipe, tmp_path / "run", strategy="cpu")
    assert asked.seen == {"predict": 2 * 360, "evaluate": 0}
    assert (result["outcome"], result["test_images"]) == ("finished", 360)
    status, out, _ = said("evaluate", directory, "--json")
    assert (status, asked.seen["predict"], asked.seen["evaluate"]) == (0, 4 * 360, 0)
    assert json.loads(out)["test_accuracy"] == pytest.approx(result["test_accuracy"])


def test_validation_is_of_the_objectives_and_of_no_test_image(monkeypatch):
    recipe = ScansMLP(**TINY)
    images = recipe.load()
    model = recipe.model(images)
    asked = Looks(monkeypatch, images)
    found = recipe.validate(model, images)
    assert set(found) == set(ScansMLP.objectives)
    outputs = np.asarray(model(images.validation[0]), "float64")
    assert found["val_accuracy"] == pytest.approx(np.mean(outputs.argmax(axis=1) == images.validation[1]))
    assert found["val_loss"] == pytest.approx(log_loss(images.validation[1], softmax(outputs, axis=1)), rel=1e-4)
    assert asked.seen == {"predict": 0, "evaluate": 0}


def test_without_a_validation_part_nothing_is_evaluated():
    recipe = ScansMLP(**TINY, validation_split=0.0)
    assert recipe.validation(recipe.load()) is None


@pytest.mark.parametrize(
    ("given", "patience", "restores"),
    [({}, None, None), ({"early_stopping": 4}, 4, False), ({"keep": "best"}, 2, True)],
)
def test_callbacks_stop_early_and_keep_the_best(given, patience, restores):
    callbacks = ScansMLP(**TINY, **given).callbacks(None, None)
    if patience is None:
        assert callbacks == []
        return
    (stopping,) = callbacks
    assert (stopping.monitor, stopping.patience, stopping.restore_best_weights) == ("val_loss", patience, restores)


def test_a_run_too_short_for_an_update_is_refused():
    recipe = ScansMLP(**TINY, optimizer="nesterov", gradient_accumulation_steps="20")
    with pytest.raises(CommandError, match="--gradient-accumulation-steps must be at most the 2 batches of the run"):
        recipe.model(recipe.load())


def test_a_run_of_views_is_told_in_a_sentence(tmp_path):
    result = {"test_accuracy": 0.5, "test_accuracy_of_one_view": 0.4, "test_images": 360, "updates": 3}
    recipe = ScansMLP(test_time_augmentation="flip")
    assert recipe.summary(result) == (
        "Test accuracy 50.0 % (flip views; 40.0 % of one view) on 360 images of digits after 3 updates."
    )
    del result["test_accuracy_of_one_view"]
    assert ScansMLP().summary(result) == "Test accuracy 50.0 % on 360 images of digits after 3 updates."


def test_a_run_that_diverges_is_not_judged(monkeypatch, tmp_path):
    recipe = ScansMLP.from_preset("smoke", optimizer="sgd", learning_rate=1e37, clipping="none")
    asked = Looks(monkeypatch, recipe.load())
    result, directory = training.train(recipe, tmp_path / "run", strategy="cpu")
    assert result["outcome"] == "diverged"
    assert set(result) == {"outcome", "epochs", "updates", "training_seconds", "reason"}
    assert asked.seen == {"predict": 0, "evaluate": 0}
    assert not (directory / "model.keras").exists()
