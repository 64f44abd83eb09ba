import keras
import numpy as np
import pytest

from callbacks import RecomputeStatistics

X = np.random.default_rng(0).normal(3.0, 2.0, size=(100, 4)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5), keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def test_statistics_are_the_means_over_batches_of_the_weights_at_the_end():
    model = network()
    model.fit(X, X[:, 0], epochs=3, verbose=0, callbacks=[RecomputeStatistics(X, 32)])
    dense, first = model.layers[:2]
    kernel, bias = (np.array(w) for w in dense.get_weights())
    before = (X[:96] @ kernel + bias).reshape(3, 32, 5).astype("float64")
    np.testing.assert_allclose(first.moving_mean, before.mean(axis=(0, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.moving_variance, before.var(axis=1).mean(axis=0), rtol=1e-4)
    assert first.momentum == 0.99


def test_nothing_else_is_changed():
    own, ours = network(), network()
    own.fit(X, X[:, 0], epochs=2, verbose=0, shuffle=False)
    ours.fit(X, X[:, 0], epochs=2, verbose=0, shuffle=False, callbacks=[RecomputeStatistics(X, 50)])
    for a, b in zip(own.variables, ours.variables, strict=True):
        same = np.array_equal(np.array(a), np.array(b))
        assert same == ("moving" not in a.path)


def test_a_net_without_it_is_left_alone():
    def trained(callbacks):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(X, X[:, 0], shuffle=False, verbose=0, callbacks=callbacks)
        return model.get_weights()

    for one, other in zip(trained([]), trained([RecomputeStatistics(X, 50)]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("size", [0, 101])
def test_a_batch_that_cannot_be_is_refused(size):
    with pytest.raises(ValueError, match="batch_size"):
        RecomputeStatistics(X, size)
