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


def test_fit_ends_at_the_iterate():
    """A step of plain descent from the last point, without the lead that momentum gives."""
    fit = {"batch_size": 20, "shuffle": False, "verbose": 0, "callbacks": [FullBatch()]}
    model = compiled(lambda: AcceleratedGD(0.1))
    leads = []
    keep = AcceleratedGD.finalize_variable_values

    def remember(self, var_list):
        points = np.concatenate([ops.convert_to_numpy(v).ravel() for v in self._trainable_variables])
        leads.append((points, np.concatenate([ops.convert_to_numpy(v).ravel() for v in self.slots[0]])))
        keep(self, var_list)

    model.optimizer.finalize_variable_values = remember.__get__(model.optimizer)
    model.fit(*samples(20), epochs=6, **fit)
    points, lead = leads[0]
    assert np.linalg.norm(lead) > 1e-3
    np.testing.assert_allclose(flat(model), points - lead, rtol=1e-6, atol=1e-7)
    assert all((ops.convert_to_numpy(v) == 0).all() for v in model.optimizer.slots[0])


def test_restarts_when_the_step_leads_uphill():
    w = keras.Variable([0.0])
    optimizer = AcceleratedGD(0.1, gradient_accumulation_steps=None)
    for _ in range(10):
        optimizer.apply([ops.array([-1.0])], [w])
    assert float(optimizer.age) > 5
    optimizer.apply([ops.array([1.0])], [w])  # the slope turns, and the momentum of ten steps goes on upwards
    assert float(optimizer.age) == pytest.approx((1 + 5**0.5) / 2)
    assert float(optimizer.slots[0][0][0]) == 0
