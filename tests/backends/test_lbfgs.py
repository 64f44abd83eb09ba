"""L-BFGS in `compile` and `fit`, on every backend."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy import optimize

from callbacks import (
    BlockGradient,
    ExactResume,
    FullBatch,
    GradientMonitor,
    GradientRegularizer,
    SharpnessAware,
    StopOnConvergence,
)
from custom_optimizers import LBFGS, Accumulate, BatchGD
from custom_optimizers.line_search import HagerZhang, StrongWolfe
from custom_optimizers.line_search.line_searches import as_line_search
from tests.small import flat, samples

X, Y = samples(50)


def softmax(optimizer=None, metrics=(), regularizer="l2"):
    """Softmax regression, which is convex."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, kernel_regularizer=regularizer)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or LBFGS(), loss, metrics=list(metrics))
    return model


NARROW = {  # searches that reject points more often than the ones that are taken by default
    "strong_wolfe": lambda: StrongWolfe(curvature=0.05),
    "hager_zhang": lambda: HagerZhang(curvature=0.15),
}


def network(*more):
    keras.utils.set_random_seed(3)
    stack = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(8, "tanh"), *(each() for each in more)]
    model = keras.Sequential([*stack, layers.Dense(4)])
    model.compile(LBFGS(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def with_policy(policy, make):
    keras.config.set_dtype_policy(policy)  # until the end of the test
    return make()


def fitted(model, epochs=30, batch_size=50, passes=1, callbacks=(), **more):
    callbacks = [FullBatch(passes_per_epoch=passes), *callbacks]
    return model.fit(X, Y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **more)


def loss_and_gradient():
    """Those of the softmax regression, in NumPy, as a function of all weights."""

    def function(w):
        kernel, bias = w[:256].reshape(64, 4), w[256:]
        logits = X.reshape(50, 64) @ kernel + bias
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        loss = -np.log(shares[np.arange(50), Y]).mean() + 0.01 * (kernel**2).sum()
        shares[np.arange(50), Y] -= 1
        gradient = X.reshape(50, 64).T @ shares / 50 + 0.02 * kernel
        return loss, np.concatenate([gradient.ravel(), shares.mean(axis=0)])

    return function


def start_of_softmax():
    return np.concatenate([w.ravel() for w in softmax().get_weights()]).astype("float64")


def of_scipy(evaluations):
    """The loss that L-BFGS-B reaches."""
    options = {"maxcor": 10, "maxfun": evaluations, "ftol": 0, "gtol": 0}
    return optimize.minimize(loss_and_gradient(), start_of_softmax(), jac=True, method="L-BFGS-B", options=options)


@pytest.mark.slow_cases("50-10", "20-1", "50-1")
@pytest.mark.parametrize("passes", [1, 10])
@pytest.mark.parametrize("batch_size", [50, 20])
def test_it_comes_as_far_as_scipy(passes, batch_size):
    model = softmax()
    history = fitted(model, 30 // passes, batch_size, passes).history
    theirs = of_scipy(30)
    assert history["evaluations"][-1] == 30
    assert int(model.optimizer.iterations) < 30
    assert abs(history["loss"][-1] - theirs.fun) < 2e-6
    assert np.all(np.diff(history["loss"]) <= 0)
    assert model.evaluate(X, Y, batch_size=50, verbose=0) == pytest.approx(history["loss"][-1], abs=1e-6)


@pytest.mark.slow
def test_many_passes_make_the_same_updates():
    one, many = network(), network()
    fitted(one, 12, 20)
    fitted(many, 3, 20, passes=4)
    np.testing.assert_allclose(flat(many), flat(one), atol=1e-5)
    assert int(one.optimizer.iterations) == int(many.optimizer.iterations) > 5


@pytest.mark.slow_on_jax
def test_what_is_validated_and_saved_is_the_accepted_point(tmp_path):
    model, seen = network(), []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((logs["loss"], logs["val_loss"]))
    )
    saves = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    model.fit(
        X, Y, batch_size=50, epochs=15, shuffle=False, verbose=0,
        validation_data=(X, Y), validation_batch_size=50, callbacks=[saves, FullBatch(), look],
    )  # fmt: skip
    np.testing.assert_allclose(*zip(*seen, strict=True), rtol=1e-5)
    for epoch in (3, 9, 15):
        saved = keras.models.load_model(tmp_path / f"{epoch}.keras")
        assert saved.evaluate(X, Y, batch_size=50, verbose=0) == pytest.approx(seen[epoch - 1][0], rel=1e-5)


def next_points(model):
    """Where a model's loss is looked at next, as one array."""
    weights = [keras.ops.stop_gradient(variable) for variable in model.trainable_variables]
    tried = model.optimizer.search.next_weights(weights, model.optimizer.search.state())
    return np.concatenate([keras.ops.convert_to_numpy(each).ravel() for each in tried])


def fitted_into_a_search(model, passes):
    """Fit until a search has rejected the points that it tried last."""
    for _ in range(40):
        before = int(model.optimizer.iterations)
        fitted(model, 1, 20, passes)
        numbers = keras.ops.convert_to_numpy(model.optimizer.search.state()["numbers"])
        if numbers[model.optimizer.line_search.state_names.index("evaluated")]:
            assert passes > 1 or int(model.optimizer.iterations) == before
            assert not np.array_equal(next_points(model), flat(model))
            return
    raise AssertionError("no point was rejected in 40 epochs")


@pytest.mark.slow_cases("hager_zhang-1", "hager_zhang-3", "strong_wolfe-1", "strong_wolfe-3")
@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("line_search", ["strong_wolfe", "hager_zhang"])
def test_a_model_saved_in_the_middle_of_a_search_tries_the_same_points(line_search, passes, tmp_path):
    """With the same bits: what is tried, what is accepted, and the loss there."""
    model = network()
    model.compile(LBFGS(line_search=NARROW[line_search]()), model.loss)
    fitted_into_a_search(model, passes)
    model.save(tmp_path / "saved.keras")
    again = keras.models.load_model(tmp_path / "saved.keras")
    assert again.optimizer.search.read() == model.optimizer.search.read()
    for _ in range(4):
        np.testing.assert_array_equal(next_points(again), next_points(model))
        np.testing.assert_array_equal(flat(again), flat(model))
        assert fitted(again, 1, 20, passes).history == fitted(model, 1, 20, passes).history


SHARES = np.linspace(0.1, 3, 50).astype("float32")  # weights of samples
IDS = np.where(np.arange(7) < 2 + np.arange(50)[:, None] % 6, 1 + np.arange(350).reshape(50, 7) % 11, 0)  # 0: none


def heads():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Dense(8, "tanh")(layers.Flatten()(inputs))
    outputs = {"kind": layers.Dense(4, name="kind")(hidden), "size": layers.Dense(1, name="size")(hidden)}
    return keras.Model(inputs, outputs)


def recurrent():
    keras.utils.set_random_seed(3)
    embedding = layers.Embedding(12, 4, mask_zero=True)
    return keras.Sequential([keras.Input((7,), dtype="int32"), embedding, layers.LSTM(5), layers.Dense(4)])


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TWO = {"kind": CROSS_ENTROPY, "size": "mse"}
Y_TWO = {"kind": Y, "size": SHARES[:, None]}
BESIDE = {  # model, loss, loss weights, x, y, of fit, of evaluate
    "weights of samples": (network, CROSS_ENTROPY, None, X, Y, {"sample_weight": SHARES}, {"sample_weight": SHARES}),
    "weights of classes": (
        *(network, CROSS_ENTROPY, None, X, Y),
        {"class_weight": {0: 1.0, 1: 4.0, 2: 0.5, 3: 2.0}},
        {"sample_weight": np.array([1.0, 4.0, 0.5, 2.0], "float32")[Y]},
    ),
    "two outputs": (heads, TWO, {"kind": 0.3, "size": 2.0}, X, Y_TWO, {}, {}),
    "a mask": (recurrent, CROSS_ENTROPY, None, IDS, Y, {}, {}),
}


@pytest.mark.slow_on_jax
@pytest.mark.slow_cases("weights of classes", "weights of samples", "two outputs")
@pytest.mark.parametrize("name", BESIDE)
def test_the_loss_in_the_logs_is_that_of_the_accepted_point(name, tmp_path):
    """At the end of each epoch, and in each checkpoint, with points that are rejected among them."""
    make, loss, loss_weights, x, y, of_fit, of_evaluate = BESIDE[name]
    model, found = make(), []
    model.compile(LBFGS(line_search=StrongWolfe(curvature=0.05)), loss, loss_weights=loss_weights)

    def evaluated(of):
        return of.evaluate(x, y, batch_size=50, verbose=0, return_dict=True, **of_evaluate)["loss"]

    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: found.append(evaluated(model)))
    saves = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    history = model.fit(
        x, y, batch_size=20, epochs=8, shuffle=False, verbose=0, callbacks=[FullBatch(), look, saves], **of_fit
    ).history
    assert int(model.optimizer.iterations) < 7  # some were rejected
    np.testing.assert_allclose(history["loss"], found, rtol=2e-6)
    assert history["loss"][-1] < history["loss"][0]
    assert evaluated(keras.models.load_model(tmp_path / "5.keras")) == pytest.approx(found[4], rel=1e-6)


@pytest.mark.slow
def test_it_is_resumed_with_the_same_bits(tmp_path):
    def train(epochs, name):
        model = network()
        fitted(model, epochs, 20, passes=3, callbacks=[ExactResume(tmp_path / name)])
        return flat(model)

    train(3, "parts.npz")
    np.testing.assert_array_equal(train(6, "parts.npz"), train(6, "whole.npz"))


def test_it_says_why_it_ends(capsys):
    model = softmax()
    history = fitted(model, 400, passes=10)
    assert len(history.history["loss"]) < 400
    assert "at the limit of float32." in capsys.readouterr().out


@pytest.mark.slow
def test_mixed_bfloat16_comes_as_far_as_its_digits():
    """To three digits of the lowest loss; weights and dot products stay in float32."""
    losses = {}
    for policy in ("float32", "mixed_bfloat16"):
        model = with_policy(policy, softmax)
        fitted(model, 1, passes=40)
        losses[policy], _ = loss_and_gradient()(flat(model).astype("float64"))
        kept = {name: each.dtype for name, each in model.optimizer.search.variables.items()}
        assert {*kept.values(), *(each.dtype for each in model.trainable_variables)} == {"float32", "int32"}
        assert {name for name, dtype in kept.items() if dtype == "int32"} == {"counts", "direction_pairs"}
    assert losses["mixed_bfloat16"] == pytest.approx(losses["float32"], rel=2e-3)
    assert losses["float32"] < 0.3 * loss_and_gradient()(start_of_softmax())[0]


@pytest.mark.slow_on_jax
def test_other_weights_begin_a_new_search():
    model = softmax()
    fitted(model, 5)
    model.set_weights([0 * w for w in model.get_weights()])
    history = fitted(model, 5)
    assert history.history["evaluations"] == [1, 2, 3, 4, 5]
    assert history.history["loss"][0] == pytest.approx(np.log(4), abs=1e-5)


def evaluations_after(change):
    """How many evaluations a search has made after a `fit`, a change of the model or of `(x, y)`, and another `fit`."""
    model = network()
    fitted(model, 5)
    x, y = change(model) or (X, Y)
    model.fit(x, y, batch_size=50, epochs=2, shuffle=False, verbose=0, callbacks=[FullBatch()])
    found = model.optimizer.search.read()
    assert model.evaluate(x, y, batch_size=50, verbose=0) == pytest.approx(found["loss"], rel=1e-5)
    return found["evaluations"]


CHANGES = {  # of a model or its data between two calls of `fit`: evaluations of the search after that
    "nothing": (lambda model: None, 7),
    "copies of the data": (lambda model: (X.copy(), Y.copy()), 7),
    "other images": (lambda model: (X + 1, Y), 2),
    "other labels": (lambda model: (X, 3 - Y), 2),
    "less data": (lambda model: (X[:40], Y[:40]), 2),
    "another loss": (lambda model: model.compile(model.optimizer, model.loss, loss_weights=2.0), 2),
}


@pytest.mark.slow_cases("copies of the data", "other images", "less data", "another loss", "nothing")
@pytest.mark.parametrize("name", CHANGES)
def test_another_function_begins_a_new_search(name):
    change, evaluations = CHANGES[name]
    assert evaluations_after(change) == evaluations


@pytest.mark.slow_cases("False")
@pytest.mark.parametrize("is_compiled_again", [False, True])
@pytest.mark.slow_on_jax
def test_layers_that_are_frozen_later_need_another_optimizer(is_compiled_again):
    model = network()
    fitted(model, 5)
    model.layers[1].trainable = False
    if is_compiled_again:
        model.compile(model.optimizer, model.loss)
    with pytest.raises(ValueError, match=r"layers have been frozen .*: give `compile` a new LBFGS"):
        fitted(model, 2)
    model.compile(LBFGS(), model.loss)
    before = model.layers[1].get_weights()
    history = fitted(model, 6).history
    assert history["loss"][-1] < history["loss"][0]
    for one, other in zip(model.layers[1].get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_data_that_are_repaired_are_trained_on():
    model, broken = network(), np.where(np.arange(50)[:, None, None, None] == 7, np.nan, X)
    model.fit(broken, Y, batch_size=50, verbose=0, callbacks=[FullBatch()])
    assert "not finite" in model.optimizer.search.read()["reason"]
    history = fitted(model, 5).history
    assert history["loss"][-1] < history["loss"][0]


class Ends(keras.callbacks.Callback):
    """Ends `fit` in the middle of a pass."""

    def __init__(self, after, error=None):
        super().__init__()
        self._left, self._error = after, error

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if self._left == 0 and self._error is not None:
            raise self._error
        self.model.stop_training = self._left == 0


@pytest.mark.slow_cases("10", "11")
@pytest.mark.parametrize("micro_batches", [10, 11, 14])  # of which three are a pass
@pytest.mark.slow_on_jax
def test_a_pass_that_is_not_finished_leaves_no_point_that_was_tried(micro_batches):
    model = network()
    fitted(model, 20, 20, callbacks=[Ends(micro_batches)])
    loss = model.optimizer.search.read()["loss"]
    assert model.evaluate(X, Y, batch_size=50, verbose=0) == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_after_an_interrupt_the_search_goes_on():
    model, other = network(), network()
    with pytest.raises(KeyboardInterrupt):
        fitted(model, 20, 20, callbacks=[Ends(11, KeyboardInterrupt())])  # three passes, and two micro-batches of three
    fitted(model, 3, 20)
    fitted(other, 6, 20)
    np.testing.assert_allclose(flat(model), flat(other), atol=1e-5)
    assert model.optimizer.search.read()["evaluations"] == 6


@pytest.mark.slow_on_jax
def test_others_see_what_was_accepted_wherever_they_stand():
    model, seen = network(), []
    model.compile(LBFGS(line_search=StrongWolfe(curvature=0.05)), model.loss)
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    callbacks = [look, FullBatch()]
    history = model.fit(X, Y, batch_size=20, epochs=8, shuffle=False, verbose=0, callbacks=callbacks).history
    assert seen == history["loss"]
    assert np.all(np.diff(seen) <= 0)


class Noise(layers.Layer):
    """A layer of one's own that draws random numbers."""

    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seed_generator)


class Block(layers.Layer):
    """A layer that draws nothing, whose attributes have names of what does."""

    def __init__(self):
        super().__init__()
        self.dropout, self.recurrent_dropout = layers.Dropout(0.0), 0.0

    def call(self, x):
        return self.dropout(x)


def sequences(layer):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Reshape((8, 8)), layer, layers.Dense(4)])
    model.compile(LBFGS(), CROSS_ENTROPY)
    return model


@pytest.mark.slow
def test_layers_without_random_numbers_are_not_refused():
    assert fitted(network(Block), 2).history["evaluations"] == [1, 2]
    assert fitted(sequences(layers.GRU(3)), 2).history["evaluations"] == [1, 2]


REFUSED = {
    "dropout": (lambda: network(lambda: layers.Dropout(0.5)), "draws random numbers"),
    "noise": (lambda: network(lambda: layers.GaussianNoise(0.5)), "draws random numbers"),
    "noise of one's own": (lambda: network(Noise), "draws random numbers"),
    "dropout of states": (lambda: sequences(layers.LSTM(3, recurrent_dropout=0.5)), "draws random numbers"),
    "augmentation": (lambda: network(lambda: layers.Reshape((2, 4, 1)), layers.RandAugment, layers.Flatten), "draws"),
    "batch normalisation": (lambda: network(layers.BatchNormalization), "by its own statistics"),
    "loss scaling": (lambda: with_policy("mixed_float16", network), "leave loss scaling out, with .* mixed_bfloat16"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_is_no_function_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        fitted(make(), 1)


BESIDE_NO_SEARCH = {
    "a schedule": (lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.1), "finds the step, so leave out"),
    "a plateau": (keras.callbacks.ReduceLROnPlateau, "a search finds the step, so leave out"),
    "an end at NaN": (keras.callbacks.TerminateOnNaN, "a search shortens a step .*, so leave out TerminateOnNaN"),
    "checkpoints of a pass": (lambda: keras.callbacks.ModelCheckpoint("a.keras", save_freq=2), "save_freq='epoch'"),
}


@pytest.mark.parametrize("name", BESIDE_NO_SEARCH)
def test_callbacks_that_do_not_go_with_a_search_are_refused(name):
    make, words = BESIDE_NO_SEARCH[name]
    with pytest.raises(ValueError, match=words):
        fitted(network(), 1, 20, callbacks=[make()])


def test_a_part_of_the_data_is_refused():
    with pytest.raises(ValueError, match="steps_per_epoch=2 takes a part of the 3 batches"):
        fitted(network(), 1, 20, steps_per_epoch=2)


@pytest.mark.parametrize("make", [LBFGS, lambda: BatchGD(0.1, line_search="armijo")])
def test_a_search_within_another_optimizer_is_refused(make):
    with pytest.raises(ValueError, match=r"cannot be a .* with a search"):
        Accumulate(make())


@pytest.mark.parametrize("callback", [GradientRegularizer(), SharpnessAware()], ids=lambda each: type(each).__name__)
def test_another_gradient_than_that_of_the_loss_is_refused(callback):
    with pytest.raises(ValueError, match=r"a search goes by the gradient of the loss, and .* gives another one"):
        fitted(network(), 1, callbacks=[callback])


def test_blocks_of_mini_batches_are_refused():
    with pytest.raises(ValueError, match="needs the loss of all samples"):
        network().fit(X, Y, batch_size=10, verbose=0, callbacks=[BlockGradient(5)])


def test_constraints_are_refused():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, bias_constraint="non_neg")])
    model.compile(LBFGS(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match="has a constraint, which a step along a line leaves"):
        fitted(model, 1)


NOT_BESIDE = {
    "weight_decay": (0.1, "kernel_regularizer"),
    "clipnorm": (1.0, "the search bounds the step"),
    "use_ema": (True, "at the weights themselves"),
    "gradient_accumulation_steps": (2, "makes each pass over the data an evaluation"),
    "loss_scale_factor": (8.0, "it goes by the loss as it is"),
    "learning_rate_multipliers": ({"kernel": 2}, "the search finds the step"),
}


@pytest.mark.parametrize("make", [LBFGS, lambda **more: BatchGD(0.1, line_search="armijo", **more)])
@pytest.mark.parametrize("argument", NOT_BESIDE)
def test_arguments_without_effect_are_refused(argument, make):
    value, words = NOT_BESIDE[argument]
    with pytest.raises(ValueError, match=f"has no `{argument}`: .*{words}"):
        make(**{argument: value})


def test_a_rate_has_no_effect():
    with pytest.raises(ValueError, match="a learning rate has no effect"):
        LBFGS().learning_rate = 0.1
    with pytest.raises(ValueError, match="`learning_rate` must be a finite number > 0"):
        BatchGD(lambda: 0.1, line_search="armijo")
    with pytest.raises(ValueError, match="has no `momentum`"):
        BatchGD(momentum=0.9, line_search="armijo")


@pytest.mark.slow_cases("hager_zhang", "nonmonotone_armijo")
@pytest.mark.parametrize("line_search", ["strong_wolfe", "hager_zhang", "armijo", "nonmonotone_armijo"])
def test_descent_with_a_search_is_that_of_the_line_search(line_search):
    """Steps along the gradient, each from where the last one ended, beside the same by hand in NumPy."""
    model = softmax(BatchGD(0.5, line_search=line_search))
    history = fitted(model, 12).history
    theirs = by_hand(as_line_search("", line_search), 0.5, 12)
    np.testing.assert_allclose(history["loss"], theirs, rtol=2e-5)
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    config = model.optimizer.get_config()
    assert BatchGD.from_config(config).line_search == model.optimizer.line_search


def by_hand(search, first, evaluations):
    """The losses at the accepted points, after each evaluation."""
    function, point, losses = loss_and_gradient(), start_of_softmax(), []
    value, gradient = function(point)
    slope, step, state, updates = None, None, search.initial_state("float64"), 0
    losses.append(value)
    while len(losses) < evaluations:
        before, slope = slope, -gradient @ gradient
        begin = first if not updates else step * min(before / slope, 10)
        state = search.begin(state, value, slope, begin)
        while not state["accepted"] and len(losses) < evaluations:
            step = state["step"]
            found = function(point - step * gradient)
            state = search.next(state, found[0], -found[1] @ gradient)
            losses.append(found[0] if state["accepted"] else value)
        if state["accepted"]:
            updates, point = updates + 1, point - step * gradient
            value, gradient = found
    return losses


def test_many_passes_end_where_the_search_does():
    model, full_batch = softmax(), FullBatch(passes_per_epoch=2000)
    model.fit(X, Y, batch_size=50, epochs=3, shuffle=False, verbose=0, callbacks=[full_batch])
    found = model.optimizer.search.read()
    assert "at the limit of float32" in found["reason"]
    assert found["evaluations"] <= len(full_batch.trace["loss"]) <= found["evaluations"] + 1 < 1000


@pytest.mark.slow_on_jax
def test_the_reason_is_in_stop_on_convergence(capsys):
    stop = StopOnConvergence(gradient_norm=1e-2)
    fitted(softmax(), 100, callbacks=[stop])
    assert "the gradient's norm is 0.00" in stop.reason
    assert stop.reason.endswith("within 0.01")
    stop = StopOnConvergence(gradient_norm=0)
    fitted(softmax(), 20, passes=100, callbacks=[stop])
    assert stop.stopped_epoch is None
    assert "at the limit of float32" in stop.reason
    assert stop.reason in capsys.readouterr().out


def test_mini_batches_are_refused():
    with pytest.raises(ValueError, match="needs the loss of all samples"):
        softmax().fit(X, Y, batch_size=10, verbose=0)


@pytest.mark.slow
def test_blocks_and_norms():
    model = network()
    history = fitted(model, 10, 50, callbacks=[BlockGradient(10), GradientMonitor()]).history
    other = network()
    fitted(other, 10, 50)
    np.testing.assert_allclose(flat(model), flat(other), atol=1e-4)
    assert history["gradient_norm"][-1] < history["gradient_norm"][0]
