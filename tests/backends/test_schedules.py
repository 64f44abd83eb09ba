"""Schedules on every backend: their numbers, and the updates that an optimizer makes of them."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from callbacks import FullBatch
from custom_optimizers import BatchGD
from custom_optimizers.schedules import (
    REX,
    CosineRestarts,
    InverseSquareRoot,
    Join,
    OneCycle,
    Warmup,
    WarmupStableDecay,
)
from tests.schedules import CASES, PEAK
from tests.small import change, compiled, relative, samples

BACKEND = keras.backend.backend()
HORIZON = 200
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def rates(schedule, updates):
    return ops.convert_to_numpy(schedule(ops.array(updates, "int32")))


@every
def test_numbers(case):
    updates = np.arange(2 * HORIZON)
    expected = [case.expected(float(update), HORIZON) for update in updates]
    np.testing.assert_allclose(rates(case.build(HORIZON), updates), expected, atol=PEAK * 1e-6, rtol=1e-6)


OF_NUMPY = {  # schedules whose whole numbers are made by `whole` and whose others by `share`
    "one_cycle": lambda whole, share: OneCycle(share(PEAK), whole(70), rise=share(0.25), div_factor=whole(20)),
    "warmup_stable_decay": lambda whole, share: WarmupStableDecay(PEAK, whole(70), whole(1), whole(0), final=whole(0)),
    "shares": lambda whole, share: WarmupStableDecay(share(PEAK), whole(70), share(0.125), share(0.25)),
    "a_whole_share": lambda whole, share: WarmupStableDecay(PEAK, whole(70), decay=share(0.0), warmup=share(1.0)),
    "inverse_square_root": lambda whole, share: InverseSquareRoot(whole(2), whole(30)),
    "rex": lambda whole, share: REX(share(PEAK), whole(70)),
    "cosine_restarts": lambda whole, share: CosineRestarts(PEAK, whole(70), whole(10), growth=whole(2)),
    "a_period_of_1": lambda whole, share: CosineRestarts(PEAK, whole(70), whole(1)),
    "a_period_of_all": lambda whole, share: CosineRestarts(PEAK, whole(70), share(1.0)),
    "join": lambda whole, share: Join(
        [whole(1), Warmup(share(PEAK), whole(5), share(0.5)), REX(1.0, 9)], [8, whole(30)]
    ),
}


@pytest.mark.parametrize("make", OF_NUMPY.values(), ids=OF_NUMPY)
@pytest.mark.parametrize(("whole", "share"), [(np.int64, np.float64), (np.uint8, np.float16)], ids=["64", "short"])
def test_numbers_of_numpy_mean_what_those_of_python_mean(make, whole, share):
    """A whole number is updates and never a share of the horizon; a config has numbers of Python alone."""
    theirs, ours = make(whole, share), make(int, lambda number: float(share(number)))
    updates = np.arange(80)
    np.testing.assert_array_equal(rates(theirs, updates), rates(ours, updates))
    config = keras.saving.serialize_keras_object(theirs)
    assert json.dumps(config) == json.dumps(keras.saving.serialize_keras_object(ours))
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert again == theirs == ours
    assert "np." not in repr(theirs)


@every
def test_an_optimizer_takes_the_rate_of_each_update(case):
    """With a gradient of 1 the weight falls by the rate; micro-batches do not count."""
    w = keras.Variable([0.0])
    optimizer = BatchGD(case.build(HORIZON), gradient_accumulation_steps=2)
    fallen = []
    for _ in range(2 * 25):
        optimizer.apply([ops.array([1.0])], [w])
        fallen.append(-float(ops.convert_to_numpy(w)[0]))
    expected = np.cumsum([case.expected(float(update), HORIZON) for update in range(25)])
    np.testing.assert_allclose(fallen[1::2], expected, rtol=1e-5)


@pytest.mark.slow_cases("nested", "one_cycle")
@pytest.mark.parametrize("name", ["nested", "one_cycle", "cosine_restarts_growing"])
def test_a_fit_under_a_schedule(name):
    """Against Keras's SGD on the whole at once, whose rate a callback sets from the closed form."""
    (case,) = (case for case in CASES if case.name == name)
    x, y = samples(40)
    ours = compiled(lambda: BatchGD(case.build(20), momentum=0.9))
    ours.fit(x, y, batch_size=8, epochs=12, shuffle=False, verbose=0, callbacks=[FullBatch()])
    theirs = compiled(lambda: keras.optimizers.SGD(PEAK, momentum=0.9))
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: float(case.expected(float(epoch), 20)))
    theirs.fit(x, y, batch_size=40, epochs=12, shuffle=False, verbose=0, callbacks=[rate])
    assert relative(change(ours), change(theirs)) < 1e-4


def test_saved_with_a_model(tmp_path):
    (case,) = (case for case in CASES if case.name == "nested")
    x, y = samples(40)
    model = compiled(lambda: BatchGD(case.build(20)))
    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.saving.load_model(tmp_path / "model.keras").optimizer
    assert optimizer._learning_rate == case.build(20)
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(case.expected(5.0, 20))


@pytest.mark.skipif(BACKEND != "torch", reason="OneCycleLR is of torch")
@pytest.mark.parametrize("horizon", [2, 3, 10, 11, 100, 1000])
@pytest.mark.parametrize(("options", "of_torch"), [({}, {}), ({"shape": "linear"}, {"anneal_strategy": "linear"})])
@pytest.mark.parametrize("more", [False, True])
def test_one_cycle_is_that_of_torch(horizon, options, of_torch, more):
    import torch

    if more:
        options = {**options, "rise": 0.45, "div_factor": 10.0, "final_div_factor": 100.0}
        of_torch = {**of_torch, "pct_start": 0.45, "div_factor": 10.0, "final_div_factor": 100.0}
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(sgd, PEAK, total_steps=horizon, **of_torch)
    expected = []
    for _ in range(horizon):
        expected.append(sgd.param_groups[0]["lr"])
        sgd.step()
        scheduler.step()
    found = rates(OneCycle(PEAK, horizon, **options), np.arange(horizon))
    np.testing.assert_allclose(found, expected, atol=PEAK * 1e-6)
