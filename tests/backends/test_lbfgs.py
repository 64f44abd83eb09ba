"""L-BFGS in `compile` and `fit`, on every backend."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy import optimize

from callbacks import BlockGradient, ExactResume, FullBatch, GradientMonitor
from custom_optimizers import LBFGS
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


def network(*more):
    keras.utils.set_random_seed(3)
    stack = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(8, "tanh"), *(each() for each in more)]
    model = keras.Sequential([*stack, layers.Dense(4)])
    model.compile(LBFGS(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fitted(model, epochs=30, batch_size=50, passes=1, callbacks=(), **more):
    callbacks = [FullBatch(passes_per_epoch=passes), *callbacks]
    return model.fit(X, Y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **more)


def of_scipy(evaluations):
    """The loss that L-BFGS-B reaches."""

    def function(w):
        kernel, bias = w[:256].reshape(64, 4), w[256:]
        logits = X.reshape(50, 64) @ kernel + bias
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        loss = -np.log(shares[np.arange(50), Y]).mean() + 0.01 * (kernel**2).sum()
        shares[np.arange(50), Y] -= 1
        gradient = X.reshape(50, 64).T @ shares / 50 + 0.02 * kernel
        return loss, np.concatenate([gradient.ravel(), shares.mean(axis=0)])

    start = np.concatenate([w.ravel() for w in softmax().get_weights()]).astype("float64")
    options = {"maxcor": 10, "maxfun": evaluations, "ftol": 0, "gtol": 0}
    return optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options)


@pytest.mark.slow_cases("50-10", "20-1")
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


def test_many_passes_make_the_same_updates():
    one, many = network(), network()
    fitted(one, 12, 20)
    fitted(many, 3, 20, passes=4)
    np.testing.assert_allclose(flat(many), flat(one), atol=1e-5)
    assert int(one.optimizer.iterations) == int(many.optimizer.iterations) > 5


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


def test_a_model_saved_in_the_middle_goes_on_where_it_was(tmp_path):
    whole, first = network(), network()
    fitted(whole, 12)
    fitted(first, 7)
    first.save(tmp_path / "saved.keras")
    again = keras.models.load_model(tmp_path / "saved.keras")
    fitted(again, 5)
    np.testing.assert_allclose(flat(again), flat(whole), atol=1e-6)


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


def test_other_weights_begin_a_new_search():
    model = softmax()
    fitted(model, 5)
    model.set_weights([0 * w for w in model.get_weights()])
    history = fitted(model, 5)
    assert history.history["evaluations"] == [1, 2, 3, 4, 5]
    assert history.history["loss"][0] == pytest.approx(np.log(4), abs=1e-5)


REFUSED = {
    "dropout": (lambda: network(lambda: layers.Dropout(0.5)), "draws random numbers"),
    "noise": (lambda: network(lambda: layers.GaussianNoise(0.5)), "draws random numbers"),
    "batch normalisation": (lambda: network(layers.BatchNormalization), "by its own statistics"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_is_no_function_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        fitted(make(), 1)


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
