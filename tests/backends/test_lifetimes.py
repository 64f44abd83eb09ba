"""A model's life around `FullBatch`: other callbacks, several fits, copies and files, exceptions, and its end."""

import copy
import gc
import pickle
import weakref

import keras
import numpy as np
import pytest
from keras import callbacks as kc
from keras import layers, ops
from keras.optimizers import SGD, Adam, LossScaleOptimizer

from callbacks import (
    BlockGradient,
    FullBatch,
    GradientMonitor,
    LearningRateFinder,
    SharpnessAware,
    StopOnConvergence,
)
from custom_optimizers import Accumulate, BatchGD, Lookahead
from custom_optimizers.clipping import AutoClip, ByGlobalNorm
from custom_optimizers.schedules import REX, Warmup

BACKEND = keras.backend.backend()
N, BATCH = 24, 8  # three of 8: JAX compiles each size of batch
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 3)).astype("float32"), RNG.normal(size=(N, 2)).astype("float32")
elsewhere = pytest.mark.skipif(BACKEND == "tensorflow", reason="tests/callbacks/test_keras_callbacks.py has it there")


def network(optimizer, loss="mse", eager=True, **options):
    """The same weights at each call."""
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    model.compile(optimizer, loss, run_eagerly=eager, **options)
    return model


def weights(model):
    """Of the layers, and not those that training draws or counts with."""
    return np.concatenate([np.asarray(w, "float64").ravel() for w in model.get_weights()])


def by_parts(model, epochs=3, *more, x=X, y=Y, batch_size=BATCH, **options):
    fit = {"batch_size": batch_size, "epochs": epochs, "shuffle": False, "verbose": 0, **options}
    return model.fit(x, y, callbacks=[FullBatch(), *more], **fit)


def check(model, reference, start, bound=1e-5):
    """The changes of the weights are the same."""
    change, wanted = weights(model) - start, weights(reference) - start
    assert np.linalg.norm(wanted) > 0
    assert np.linalg.norm(change - wanted) <= bound * np.linalg.norm(wanted)


# What a `fit` may have beside `FullBatch`: ours in micro-batches, and Keras's own optimizer with all samples at once


class SetsRate(kc.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.03


class InTheMiddle(kc.Callback):
    """Does something behind the second batch of each epoch."""

    def __init__(self, does):
        super().__init__()
        self.does = does

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.does(self.model)


def looks_around(model):
    model.evaluate(X, Y, verbose=0)
    model.predict(X[:2], verbose=0)


def trains_another(model):
    by_parts(network(BatchGD(0.1)), 1)


def scheduler():
    return [kc.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))]


def without_bias(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def cubes(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred) ** 3, axis=-1)


def each_entry(y_true, y_pred):
    return ops.abs(y_true - y_pred)


def momentum(optimizer):
    return optimizer(0.1, momentum=0.9)


def adam():
    """One that makes no large step of a gradient that is rounding alone."""
    return Adam(0.1, epsilon=0.1)


def entropy():
    return [keras.losses.BinaryCrossentropy(from_logits=True)]


USES = {  # what makes our optimizer and Keras's, what else is compiled, and what else `fit` is given
    "validation_split": (momentum, {}, {"validation_split": 1 / 3}),
    "rate assigned": (momentum, {}, {"callbacks": lambda: [SetsRate()]}),
    "schedule": (lambda o: o(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)), {}, {}),
    "Adam": (
        (lambda: Accumulate(adam()), adam),
        {},
        {"callbacks": scheduler},
    ),
    "clipnorm": (lambda o: o(0.1, clipnorm=0.1), {}, {}),
    "clipvalue": (lambda o: o(0.1, clipvalue=0.01), {}, {}),
    "decay": (lambda o: without_bias(o(0.1, weight_decay=0.5)), {}, {}),
    "metrics": (momentum, {"metrics": lambda: [keras.metrics.RootMeanSquaredError(), keras.metrics.R2Score()]}, {}),
    "loss scaling": ((lambda: LossScaleOptimizer(BatchGD(0.1), 1024.0, 3), lambda: SGD(0.1)), {}, {}),
    "function": (momentum, {"loss": lambda: cubes}, {}),
    "each entry": (momentum, {"loss": lambda: each_entry}, {}),
    "whole numbers": (momentum, {"loss": entropy}, {"y": (Y > 0).astype("int64")}),
    "float64": (momentum, {}, {"x": X.astype("float64"), "y": Y.astype("float64")}),
    "evaluated in the middle": (momentum, {}, {"callbacks": lambda: [InTheMiddle(looks_around)]}),
    "another model in the middle": (momentum, {}, {"callbacks": lambda: [InTheMiddle(trains_another)]}),
}
SLOW = ["function", "each entry", "whole numbers", "float64", "clipvalue"] if BACKEND == "jax" else []
USES_ELSEWHERE = {
    "scheduler": (momentum, {}, {"callbacks": scheduler}),
    "plateau": (momentum, {}, {"callbacks": lambda: [kc.ReduceLROnPlateau("loss", patience=1, min_delta=10)]}),
    "moving average": (
        lambda o: o(0.1, use_ema=True, ema_momentum=0.5),
        {},
        {"callbacks": lambda: [kc.SwapEMAWeights(swap_on_epoch=True)]},
    ),
}


def check_use(make, compiling, fitting, eager=True):
    ours, theirs = make if isinstance(make, tuple) else (lambda: make(BatchGD), lambda: make(SGD))
    fitting = {"x": X, "y": Y, **fitting}
    more = fitting.pop("callbacks", list)
    model, reference = (
        network(optimizer(), eager=is_eager, **{name: made() for name, made in compiling.items()})
        for optimizer, is_eager in ((ours, eager), (theirs, True))
    )
    start = weights(model)
    found = by_parts(model, 5, *more(), **fitting)
    wanted = reference.fit(batch_size=N, epochs=5, shuffle=False, verbose=0, callbacks=more(), **fitting)
    check(model, reference, start)
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 5
    if "metrics" in compiling or "validation_split" in fitting:
        assert set(found.history) == set(wanted.history)
        for name, values in wanted.history.items():
            np.testing.assert_allclose(found.history[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("use", [pytest.param(use, marks=[pytest.mark.slow] * (use in SLOW)) for use in USES])
def test_a_use(use):
    check_use(*USES[use])


@elsewhere
@pytest.mark.parametrize("use", USES_ELSEWHERE)
def test_a_use_of_the_callbacks_of_keras(use):
    check_use(*USES_ELSEWHERE[use])


@pytest.mark.skipif(BACKEND == "torch", reason="torch compiles nothing")
@pytest.mark.slow_cases("loss scaling", "metrics", "schedule", "another model in the middle")
@pytest.mark.parametrize("use", ["Adam", "loss scaling", "metrics", "schedule", "another model in the middle"])
def test_a_compiled_use(use):
    check_use(*USES[use], eager=False)


def test_four_fits_of_one_model_with_validation():
    """Other numbers of samples, and micro-batches of other sizes, one of them larger than all."""
    model, reference = network(BatchGD(0.1, momentum=0.9)), network(SGD(0.1, momentum=0.9))
    start = weights(model)
    for samples, batch_size in ((24, 16), (24, 24), (8, 64), (16, 16)):
        x, y = X[:samples], Y[:samples]
        found = by_parts(
            model, 2, x=x, y=y, batch_size=batch_size, validation_data=(X, Y), validation_batch_size=16
        ).history
        wanted = reference.fit(x, y, batch_size=samples, epochs=2, verbose=0, validation_data=(X, Y)).history
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5)
    check(model, reference, start)


@elsewhere
def test_a_loss_that_is_no_number_ends_fit():
    model = network(BatchGD(0.1))
    start, bad = weights(model), np.where(np.arange(N)[:, None] == 9, np.nan, X).astype("float32")
    assert len(by_parts(model, 3, kc.TerminateOnNaN(), x=bad).epoch) == 1
    np.testing.assert_array_equal(weights(model), start)


# Layers that are frozen


def fit_both(pair, epochs, *more):
    model, reference = pair
    by_parts(model, epochs, *more)
    reference.fit(X, Y, batch_size=N, epochs=epochs, shuffle=False, verbose=0, callbacks=list(more))


refused_by_jax = pytest.mark.skipif(BACKEND == "jax", reason="Keras refuses other variables there")


@pytest.mark.parametrize(
    "first", [False, pytest.param(True, marks=refused_by_jax)], ids=["frozen first", "frozen later"]
)
def test_layers_that_are_frozen_between_fits(first):
    """Compiled anew where they are thawed, since Keras's optimizers refuse what they were not built with."""
    pair = network(momentum(BatchGD)), network(momentum(SGD))
    start = weights(pair[0])
    for trainable in (first, not first):
        for model, optimizer in zip(pair, (BatchGD, SGD), strict=True):
            model.layers[0].trainable = trainable
            if not first:
                model.compile(momentum(optimizer), "mse", run_eagerly=model.run_eagerly)
        before = pair[0].layers[0].get_weights()[0]
        fit_both(pair, 2)
        assert trainable != np.array_equal(pair[0].layers[0].get_weights()[0], before)
    check(*pair, start)


class Thaws(kc.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.layers[0].trainable = True
            self.model.make_train_function(force=True)


@refused_by_jax
@pytest.mark.parametrize("eager", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["eager", "compiled"])
def test_layers_that_a_callback_thaws(eager):
    pair = network(BatchGD(0.1), eager=eager), network(SGD(0.1), eager=eager)
    start = weights(pair[0])
    for model in pair:
        model.optimizer.build(model.trainable_variables)
        model.layers[0].trainable = False
    fit_both(pair, 3, Thaws())
    check(*pair, start)


# Copies and files, of models that have been in a `fit` or are


def through_pickle(model, path):
    return pickle.loads(pickle.dumps(model))


def through_keras(model, path):
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def through_weights(model, path):
    """Into a model that has never been in a `fit`."""
    model.save_weights(path / "model.weights.h5")
    fresh = network(type(model.optimizer).from_config(model.optimizer.get_config()))
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(path / "model.weights.h5")
    return fresh


COPIES = {
    "pickle": through_pickle,
    "deepcopy": lambda model, path: copy.deepcopy(model),
    ".keras": through_keras,
    ".weights.h5": through_weights,
}
OPTIMIZERS = {
    "momentum": (
        lambda: BatchGD(0.1, momentum=0.9, clipping=ByGlobalNorm(0.5)),
        lambda: SGD(0.1, momentum=0.9, global_clipnorm=0.5),
    ),
    "scaled": (lambda: LossScaleOptimizer(momentum(BatchGD), 1024.0, 50), lambda: momentum(SGD)),
    "Adam": (lambda: Accumulate(adam()), adam),
}


class CopiesInTheMiddle(kc.Callback):
    """Copies the model in its second epoch, between two micro-batches."""

    def __init__(self, copied):
        super().__init__()
        self.copied, self.epoch, self.made = copied, None, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            self.made = self.copied(self.model)


@pytest.mark.slow_on_jax
@pytest.mark.slow_cases(
    *[f"{how}-momentum-after" for how in COPIES if how != "pickle"],
    *[f"{how}-Adam-{when}" for how in COPIES if how != ".keras" for when in ("after", "middle")],
    "deepcopy-momentum-middle",
    ".keras-Adam-after",
    ".keras-scaled-after",
    "deepcopy-scaled-after",
)
@pytest.mark.parametrize(
    ("optimizer", "when"),
    [
        ("momentum", "after"),
        ("momentum", "middle"),
        ("scaled", "after"),
        ("scaled", "middle"),
        ("Adam", "after"),
        ("Adam", "middle"),
    ],
)
@pytest.mark.slow_cases(
    *(f"{how}-scaled-after" for how in ("pickle", "deepcopy")),
    *(f"{how}-scaled-middle" for how in (".keras", ".weights.h5")),
    *(f"{how}-momentum-middle" for how in ("pickle", "deepcopy")),
    *(f"{how}-Adam-middle" for how in ("pickle", ".weights.h5")),
)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_goes_on_as_its_original(optimizer, how, when, tmp_path):
    """Made behind the first pass or in the middle of the second, a copy has the momentum of the first and no more."""
    ours, theirs = OPTIMIZERS[optimizer]
    model, reference = network(ours()), network(theirs())
    start, copies = weights(model), CopiesInTheMiddle(lambda model: COPIES[how](model, tmp_path))
    if when == "middle":
        by_parts(model, 3, copies)
        made = copies.made
    else:
        by_parts(model, 1)
        made = COPIES[how](model, tmp_path)
        by_parts(model, 2)
    by_parts(made, 2)
    reference.fit(X, Y, batch_size=N, epochs=3, shuffle=False, verbose=0)
    for each in (model, made):
        check(each, reference, start)
        assert int(ops.convert_to_numpy(each.optimizer.iterations)) == 3
    for each in (made, reference):  # each batch is the full batch, with what was kept of the passes
        each.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0)
    check(made, reference, start)


def test_copies_of_callbacks_and_optimizers_that_are_new():
    callbacks = [FullBatch("sum"), GradientMonitor(), StopOnConvergence(loss=1), BlockGradient(2), SharpnessAware()]
    for made in (*callbacks, LearningRateFinder()):
        assert type(copy.deepcopy(made)) is type(made)
    assert pickle.loads(pickle.dumps(FullBatch("sum"))).reduction == "sum"
    for made in (
        BatchGD(Warmup(REX(0.1, 10), 3), momentum=0.9, clipping=[ByGlobalNorm(1.0), AutoClip()]),
        BatchGD(0.1, learning_rate_multipliers={"bias": 0.5}, weight_decay=0.1, exclude_from_weight_decay=["bias"]),
        Accumulate(Adam(0.1), clipping=ByGlobalNorm(1.0)),
        Lookahead(BatchGD(0.1, momentum=0.9)),
    ):
        for made_of_it in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert type(made_of_it) is type(made)
            assert made_of_it.get_config() == made.get_config()


@elsewhere
@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_a_fit_that_is_backed_up_and_restored(save_freq, tmp_path):
    """The pass that was interrupted begins again."""

    class Interrupts(CopiesInTheMiddle):
        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == (2, 1):
                raise KeyboardInterrupt

    def backup():
        return kc.BackupAndRestore(tmp_path, save_freq=save_freq)

    model, reference = network(momentum(BatchGD)), network(momentum(SGD))
    start = weights(model)
    with pytest.raises(KeyboardInterrupt):
        by_parts(model, 4, backup(), Interrupts(None))
    resumed = network(momentum(BatchGD))
    by_parts(resumed, 4, backup())
    reference.fit(X, Y, batch_size=N, epochs=4, shuffle=False, verbose=0)
    check(resumed, reference, start)


@pytest.mark.slow_on_jax
def test_classifiers_of_scikit_learn():
    """Each of their fits trains a model of its own with the same callback."""
    from keras.wrappers import SKLearnClassifier

    labels = (X[:, 0] > 0).astype("int64")
    targets = np.eye(2, dtype="float32")[labels]

    def build(X, y, optimizer=BatchGD):
        keras.utils.set_random_seed(4)
        model = keras.Sequential([keras.Input((3,)), layers.Dense(2, "softmax")])
        model.compile(momentum(optimizer), "categorical_crossentropy", run_eagerly=True)
        return model

    reference = build(X, labels, SGD)
    start = weights(reference)
    for _ in range(3):
        reference.train_on_batch(X, targets)
    options = {"epochs": 3, "verbose": 0, "batch_size": BATCH, "callbacks": [FullBatch()]}
    classifier = SKLearnClassifier(build, fit_kwargs=options)
    for _ in range(2):
        classifier.fit(X, labels)
        check(classifier.model_, reference, start)


@pytest.mark.slow
def test_searches_of_keras_tuner(tmp_path):
    """They copy callbacks for each trial."""
    keras_tuner = pytest.importorskip("keras_tuner")

    def build(choices):
        return network(BatchGD(choices.Float("rate", 1e-3, 1e-1)))

    tuner = keras_tuner.RandomSearch(build, "val_loss", max_trials=2, executions_per_trial=2, directory=tmp_path)
    options = {"epochs": 3, "batch_size": BATCH, "verbose": 0, "shuffle": False}
    tuner.search(X, Y, validation_data=(X, Y), callbacks=[FullBatch()], **options)
    assert int(ops.convert_to_numpy(tuner.get_best_models(1)[0].optimizer.iterations)) == 3


# The end of a model


class Interrupted(Exception):
    pass


class InterruptsFirst(kc.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise Interrupted


def reference_to_a_layer(interrupted, eager):
    """Weak, of a model that has been in a `fit` and is nobody's any more."""
    model = network(BatchGD(0.1), eager=eager)
    try:
        by_parts(model, 1, *([InterruptsFirst()] if interrupted else []))
    except Interrupted:
        pass
    else:
        assert not interrupted
    return weakref.ref(model.layers[0])


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])
@pytest.mark.parametrize("interrupted", [False, True], ids=["ended", "interrupted"])
def test_a_model_is_freed(interrupted, eager):
    """Behind a `fit` that ended, and behind one that an exception ended."""
    layer = reference_to_a_layer(interrupted, eager)
    gc.collect()
    assert layer() is None
