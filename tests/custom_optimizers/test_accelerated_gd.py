import keras
import numpy as np
import pytest
from keras import ops

from callbacks import FullBatch
from custom_optimizers import AcceleratedGD
from tests.small import compiled, flat, samples


def test_fit_without_full_batch_is_refused():
    with pytest.raises(ValueError, match=r"callbacks.FullBatch\(\)"):
        compiled(AcceleratedGD).fit(*samples(20), verbose=0)


@pytest.mark.slow
def test_many_short_fits_are_one_long_one():
    x, y = samples(20)
    fit = {"batch_size": 20, "shuffle": False, "verbose": 0}
    short, long = (compiled(lambda: AcceleratedGD(0.1)) for _ in range(2))
    long.fit(x, y, epochs=6, **fit, callbacks=[FullBatch()])
    for _ in range(6):
        short.fit(x, y, epochs=1, **fit, callbacks=[FullBatch()])
    np.testing.assert_allclose(flat(short), flat(long), rtol=1e-6, atol=1e-7)


def test_restarts_when_the_step_leads_uphill():
    w = keras.Variable([0.0])
    optimizer = AcceleratedGD(0.1, gradient_accumulation_steps=None)
    for _ in range(10):
        optimizer.apply([ops.array([-1.0])], [w])
    assert float(optimizer.age) > 5
    optimizer.apply([ops.array([1.0])], [w])  # the slope turns, and the momentum of ten steps goes on upwards
    assert float(optimizer.age) == pytest.approx((1 + 5**0.5) / 2)
    assert float(optimizer.slots[0][0][0]) == 0
