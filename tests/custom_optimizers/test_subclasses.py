"""Rules of one's own: what a subclass overrides is what happens, whatever kernels there are for its base."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from custom_optimizers import BatchGD, OptimisticGD, QuasiHyperbolic
from custom_optimizers.schedules import OneCycle


class Squared(BatchGD):
    """Descends the square of the gradient, for tests."""

    def rule(self, gradient, slots, learning_rate):
        return -(gradient * gradient * learning_rate), slots


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_rule_in_the_place_of_batch_gd_s(momentum):
    w = keras.Variable([1.0])
    optimizer = Squared(0.1, momentum=momentum, gradient_accumulation_steps=2)
    for gradient in (1.0, 3.0):
        optimizer.apply([ops.array([gradient])], [w])
    np.testing.assert_allclose(w, [1 - 0.1 * 4], rtol=1e-6)


@pytest.mark.parametrize("make", [BatchGD, QuasiHyperbolic, OptimisticGD])
def test_momentum_is_exact_in_float64(make):
    w, v = keras.Variable([1.0], dtype="float64"), 0.0
    expected, rate = 1.0, float(np.float32(0.1))
    optimizer = make(0.1, momentum=0.9)
    rng = np.random.default_rng(0)
    previous = None
    for g in rng.normal(size=20):
        optimizer.apply([ops.array([g], "float64")], [w])
        ahead = 2 * g - (g if previous is None else previous) if make is OptimisticGD else g
        previous = g
        if make is QuasiHyperbolic:
            v = 0.9 * v + (1 - 0.9) * g
            expected -= rate * ((1 - 0.7) * g + 0.7 * v)
        else:
            v = 0.9 * v - rate * ahead
            expected += v
    np.testing.assert_allclose(w, [expected], rtol=1e-13)


@pytest.mark.slow
def test_a_saved_model_loads_where_only_the_package_was_imported(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(BatchGD(OneCycle(0.1, 10)), "mse")
    model.save(tmp_path / "model.keras")
    code = f"import keras, custom_optimizers; keras.saving.load_model({str(tmp_path / 'model.keras')!r})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
