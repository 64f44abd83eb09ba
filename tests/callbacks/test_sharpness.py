"""When `Sharpness` looks, at which samples, and what theory says becomes of it."""

import keras
import numpy as np
import pytest

from benchmarks.edge_of_stability import sharpness_along
from callbacks import Sharpness

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 5)).astype("float32"), RNG.normal(size=(60, 1)).astype("float32")


def measured(callback, x=X, y=Y, epochs=1, loss="mse", last=()):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, use_bias=False), *last])
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model.fit(x, y, epochs=epochs, verbose=0, callbacks=[callback]).history["sharpness"]


def test_it_is_looked_at_as_often_as_asked():
    assert len(measured(Sharpness(X, Y, every=2), epochs=5)) == 3


DIFFERENT = {
    "targets": ((X, Y[1:]), "60 and 59 samples"),
    "an input": (({"a": X, "b": X[:7]}, Y), "60 and 7 samples"),
    "an output": ((X, [Y, Y[:10]]), "60 and 10 samples"),
    "none": ((X[:0], Y[:0]), "no samples"),
    "a number": ((3.0, 4.0), "no samples"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_as_many_samples_are_asked_for_in_each_array(name):
    (x, y), message = DIFFERENT[name]
    with pytest.raises(ValueError, match=f"^Sharpness: .*{message}"):
        Sharpness(x, y)


def test_targets_in_a_list_are_one_array():
    labels = (Y[:, 0] > 0).astype(int)
    one, other = (measured(Sharpness(X, y), y=labels, loss="binary_crossentropy") for y in (labels, labels.tolist()))
    assert one == other


class Squares(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(keras.ops.mean(inputs**2))
        return inputs


def test_losses_of_layers_need_no_targets():
    (found,) = measured(Sharpness(X, None), y=None, loss=None, last=[Squares()])
    assert found == pytest.approx(np.linalg.eigvalsh(2 / 60 * X.T.astype("float64") @ X)[-1], rel=1e-4)


def test_it_is_measured_without_fit_too_and_of_the_loss_as_it_is_then():
    watch = Sharpness(X, Y)
    (before,) = measured(watch)
    watch.model.compile("sgd", keras.losses.MeanSquaredError(reduction="sum"))
    assert watch.measure() == pytest.approx(60 * before, rel=1e-4)


def test_it_rises_to_two_over_the_rate_and_stays_there():
    """The edge of stability of Cohen et al., arXiv:2103.00065, on their polynomial."""
    found = sharpness_along(rate=0.1, updates=2600)["sharpness"]
    assert found[0] < 0.6 * 2 / 0.1
    np.testing.assert_allclose(found[-8:], 2 / 0.1, rtol=0.12)
    assert np.median(found[-8:]) == pytest.approx(2 / 0.1, rel=0.05)
