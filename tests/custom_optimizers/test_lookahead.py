import keras
import numpy as np
import pytest
from keras import ops

from custom_optimizers import BatchGD, Lookahead
from tests.small import compiled, flat, samples


def slow_of(model):
    return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.optimizer.slow])


@pytest.mark.slow
def test_the_end_of_fit_ends_a_period():
    """3 updates: 2 are a period, and half of the third is taken."""
    x, y = samples(20)
    fit = {"batch_size": 20, "shuffle": False, "verbose": 0}
    fast = compiled(lambda: BatchGD(0.1))
    fast.fit(x, y, epochs=2, **fit)
    expected = (flat(compiled(lambda: BatchGD(0.1))) + flat(fast)) / 2
    model = compiled(lambda: Lookahead(BatchGD(0.1), sync_period=2))
    model.fit(x, y, epochs=2, **fit)
    np.testing.assert_allclose(flat(model), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(slow_of(model), flat(model))
    again = compiled(lambda: BatchGD(0.1))
    again.set_weights(model.get_weights())
    again.fit(x, y, epochs=1, **fit)
    before = flat(model)
    model.fit(x, y, epochs=1, **fit)
    np.testing.assert_allclose(flat(model), (before + flat(again)) / 2, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(slow_of(model), flat(model))


def test_weights_set_before_the_first_update_are_those_it_begins_from():
    w, optimizer = keras.Variable([0.0]), Lookahead(BatchGD(1.0), sync_period=1, slow_step_size=0.5)
    optimizer.build([w])
    w.assign([10.0])
    optimizer.apply([ops.array([2.0])], [w])
    assert w.numpy() == [9.0]


def test_constraints_hold_at_the_end_of_fit():
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, kernel_constraint=keras.constraints.UnitNorm(axis=0))]
    )
    model.compile(Lookahead(keras.optimizers.Adam(0.05)), "mse")
    x = np.random.default_rng(0).normal(size=(20, 4))
    model.fit(x, x[:, ::-1], epochs=23, batch_size=20, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(model.layers[0].kernel, axis=0), np.ones(4), rtol=1e-5)
