"""Every schedule of `tests.schedules`, held to the same properties."""

import inspect

import keras
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from custom_optimizers import BatchGD, schedules
from custom_optimizers.schedules import (
    REX,
    CosineRestarts,
    InverseSquareRoot,
    Join,
    OneCycle,
    Schedule,
    Warmup,
    WarmupStableDecay,
)
from tests.schedules import CASES, PEAK, one_cycle
from tests.small import compiled, samples

HORIZON = 200
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
with_factor = pytest.mark.parametrize(
    "case", [case for case in CASES if hasattr(case.build(HORIZON), "learning_rate")], ids=lambda case: case.name
)


def rates(schedule, updates):
    return ops.convert_to_numpy(schedule(ops.array(updates, "int32")))


def factors(schedule, updates, horizon):
    return ops.convert_to_numpy(schedule.factor(ops.array(updates, "float32"), horizon))


def test_every_schedule_is_listed():
    listed = {type(case.build(HORIZON)).__name__ for case in CASES}
    assert listed == set(schedules.__all__) - {"Schedule"}


@every
@pytest.mark.parametrize("horizon", [HORIZON, 80])
def test_numbers(case, horizon):
    updates = np.arange(2 * horizon)
    expected = [case.expected(float(update), horizon) for update in updates]
    np.testing.assert_allclose(rates(case.build(horizon), updates), expected, atol=PEAK * 1e-6, rtol=1e-6)


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 7, 11, 13])
@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_one_cycle_of_few_updates(horizon, shape):
    """Its top lies between two updates, or before the first."""
    expected = [one_cycle(float(update), horizon, shape) for update in range(horizon)]
    found = rates(OneCycle(PEAK, horizon, shape=shape), np.arange(horizon))
    np.testing.assert_allclose(found, expected, atol=PEAK * 1e-6)


@pytest.mark.parametrize(("horizon", "warmup", "decay"), [(7, 0, 1), (29, 2, 5), (100, 10, 20), (1, 0, 0)])
def test_shares_are_rounded_down(horizon, warmup, decay):
    found = rates(WarmupStableDecay(PEAK, horizon), np.arange(horizon))
    expected = rates(WarmupStableDecay(PEAK, horizon, warmup, decay), np.arange(horizon))
    np.testing.assert_array_equal(found, expected)


@every
def test_a_scalar_is_an_entry_of_a_vector(case):
    schedule = case.build(HORIZON)
    together = rates(schedule, np.arange(0, 60, 5).reshape(3, 4)).ravel()
    alone = [float(schedule(update)) for update in range(0, 60, 5)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert schedule(ops.array(3)).shape == ()
    assert schedule(keras.Variable(3, dtype="int32")).shape == ()


@every
def test_config_round_trip(case):
    schedule = case.build(HORIZON)
    config = keras.saving.serialize_keras_object(schedule)
    assert config["registered_name"] == f"custom_optimizers>{type(schedule).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert set(schedule.get_config()) == set(inspect.signature(type(schedule).__init__).parameters) - {"self"}
    np.testing.assert_array_equal(rates(again, np.arange(50)), rates(schedule, np.arange(50)))
    assert all(schedule != other.build(HORIZON) for other in CASES if other is not case)
    assert repr(schedule).startswith(type(schedule).__name__ + "(")


@every
def test_every_schedule_is_one_of_keras(case):
    schedule = case.build(HORIZON)
    assert isinstance(schedule, LearningRateSchedule)
    optimizer = BatchGD.from_config(BatchGD(schedule).get_config())
    assert optimizer._learning_rate == schedule
    assert float(optimizer.learning_rate) == pytest.approx(case.expected(0.0, HORIZON))


def test_saved_with_a_model(tmp_path):
    schedule = Join([Warmup(CosineDecay(0.1, 40), 4), InverseSquareRoot(0.1, 5)], [6])
    straight, halved = (compiled(lambda: BatchGD(schedule, 0.9)) for _ in range(2))
    x, y = samples(40)
    straight.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    halved.fit(x[:20], y[:20], batch_size=4, epochs=1, shuffle=False, verbose=0)
    halved.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer._learning_rate == schedule
    loaded.fit(x[20:], y[20:], batch_size=4, epochs=1, shuffle=False, verbose=0)
    for mine, other in zip(loaded.get_weights(), straight.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@with_factor
def test_the_factor_is_a_pure_function_of_update_and_horizon(case):
    """A schedule built for another horizon has the same factor for this one, and calling it changes nothing."""
    schedule, other, updates = case.build(HORIZON), case.build(2 * HORIZON), np.arange(HORIZON)
    before = vars(schedule).copy()
    first = factors(schedule, updates, HORIZON)
    factors(schedule, updates, 3 * HORIZON)
    np.testing.assert_array_equal(factors(schedule, updates, HORIZON), first)
    np.testing.assert_array_equal(factors(other, updates, HORIZON), first)
    np.testing.assert_allclose(rates(schedule, updates), PEAK * first, rtol=1e-6)
    assert vars(schedule) == before


@with_factor
def test_shares_scale_with_the_horizon(case):
    if case.only_shares:
        schedule, updates = case.build(HORIZON), np.arange(HORIZON + 1)
        np.testing.assert_allclose(
            factors(schedule, 2 * updates, 2 * HORIZON), factors(schedule, updates, HORIZON), atol=1e-6
        )


@with_factor
def test_the_last_value_is_held(case):
    schedule = case.build(HORIZON)
    if schedule.horizon:
        after = rates(schedule, HORIZON + np.array([0, 1, 10, HORIZON, 10**6]))
        np.testing.assert_array_equal(after, after[:1].repeat(5))


lengths = st.one_of(st.integers(0, 40), st.floats(0, 0.5))
shares = st.floats(0, 1)
horizons = st.integers(80, 2000)
ANY = st.one_of(
    st.builds(OneCycle, st.just(PEAK), horizons, st.floats(0, 0.99), st.floats(1, 100), st.floats(1, 1e5)),
    st.builds(
        WarmupStableDecay,
        st.just(PEAK),
        horizons,
        warmup=lengths,
        decay=lengths,
        shape=st.sampled_from(["linear", "cosine", "1-sqrt"]),
        start=shares,
        final=shares,
    ),
    st.builds(InverseSquareRoot, st.just(PEAK), st.integers(1, 10**6)),
    st.builds(REX, st.just(PEAK), horizons),
    st.builds(CosineRestarts, st.just(PEAK), horizons, st.integers(1, 3000), st.floats(1, 4), shares),
)


@settings(max_examples=30, deadline=None)
@given(schedule=ANY, warmup=st.integers(1, 50), start=shares, updates=st.lists(st.integers(0, 4000), min_size=1))
def test_no_rate_is_below_0_or_above_the_peak(schedule, warmup, start, updates):
    for rate in (schedule, Warmup(schedule, warmup, start), Join([schedule, PEAK, schedule], [7, 70])):
        found = rates(rate, updates)
        assert found.min() >= -PEAK * 1e-7
        assert found.max() <= PEAK * (1 + 1e-6)


@settings(max_examples=30, deadline=None)
@given(horizon=st.integers(1, 5000), period=st.integers(1, 500), growth=st.floats(1, 5))
def test_every_cycle_begins_at_the_peak(horizon, period, growth):
    """Keras's own does not where a logarithm is rounded down."""
    schedule = CosineRestarts(PEAK, horizon, period, growth)
    begins = [0]
    while begins[-1] + int(period * growth ** len(begins[1:]) + 1e-9) < horizon:
        begins.append(begins[-1] + int(period * growth ** len(begins[1:]) + 1e-9))
    np.testing.assert_allclose(rates(schedule, begins), PEAK, rtol=1e-6)
    assert schedule.cycles(horizon)[0] == begins


def test_keras_restarts_are_still_an_update_late():
    """The reason for `CosineRestarts`: when this fails, Keras's own may do."""
    keras_own = keras.optimizers.schedules.CosineDecayRestarts(PEAK, 10, t_mul=1.1)
    assert float(keras_own(21)) < 1e-3 * PEAK
    assert float(CosineRestarts(PEAK, 100, 10, 1.1)(21)) == pytest.approx(PEAK)


OF_OPTAX = [
    (
        Warmup(CosineDecay(PEAK, 160, 0.05), 40),
        optax.warmup_cosine_decay_schedule(0.1 * PEAK, PEAK, 40, 200, 0.05 * PEAK),
    ),
    (
        Join([Warmup(PEAK, 20, 0.25), CosineDecay(PEAK, 50), 0.1], [60, 110]),
        optax.join_schedules(
            [
                optax.warmup_constant_schedule(0.25 * PEAK, PEAK, 20),
                optax.cosine_decay_schedule(PEAK, 50),
                optax.constant_schedule(0.1),
            ],
            [60, 110],
        ),
    ),
    (
        CosineRestarts(PEAK, 150, 50, 2.0, 0.1),
        optax.join_schedules([optax.cosine_decay_schedule(PEAK, length, 0.1) for length in (50, 100)], [50]),
    ),
    (
        WarmupStableDecay(PEAK, 200, 0.1, 0.25, "linear", final=0.5),
        optax.join_schedules(
            [optax.linear_schedule(0.1 * PEAK, PEAK, 20), optax.linear_schedule(PEAK, PEAK / 2, 50)], [150]
        ),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), OF_OPTAX, ids=lambda s: type(s).__name__)
def test_equals_optax(ours, theirs):
    updates = np.arange(250)
    np.testing.assert_allclose(rates(ours, updates), [theirs(update) for update in updates], atol=PEAK * 1e-6)


def test_the_schedule_of_the_first_transformer():
    """d_model ** -0.5 * min(step ** -0.5, step * warmup_steps ** -1.5), section 5.3, with 512 and 4000."""
    updates = np.arange(1, 10_000)
    expected = 512**-0.5 * np.minimum(updates**-0.5, updates * 4000**-1.5)
    peak = (512 * 4000) ** -0.5
    np.testing.assert_allclose(
        rates(Warmup(InverseSquareRoot(peak, 4000), 4000, start=0.0), updates), expected, rtol=1e-5
    )


def test_float16_counts_in_float32():
    """float16 has no 2049."""
    keras.config.set_floatx("float16")
    try:
        found = [float(REX(PEAK, 4000)(update)) for update in (2048, 2049)]
    finally:
        keras.config.set_floatx("float32")
    expected = [PEAK * 2 * (1 - t / 4000) / (2 - t / 4000) for t in (2048, 2049)]
    assert found == pytest.approx(expected, rel=1e-6)


WRONG = [
    (OneCycle, {"learning_rate": 0, "horizon": 9}, "learning_rate", "> 0"),
    (OneCycle, {"learning_rate": 1.0, "horizon": 0}, "horizon", ">= 1"),
    (OneCycle, {"learning_rate": 1.0, "horizon": 9, "rise": 1.0}, "rise", "[0, 1)"),
    (OneCycle, {"learning_rate": 1.0, "horizon": 9, "rise": True}, "rise", "[0, 1)"),
    (OneCycle, {"learning_rate": 1.0, "horizon": 9, "div_factor": 0.5}, "div_factor", ">= 1"),
    (OneCycle, {"learning_rate": 1.0, "horizon": 9, "final_div_factor": float("nan")}, "final_div_factor", ">= 1"),
    (OneCycle, {"learning_rate": 1.0, "horizon": 9, "shape": "1-sqrt"}, "shape", "'cosine', 'linear'"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": True}, "horizon", ">= 1"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "warmup": -1}, "warmup", "[0, 1]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "warmup": 1.5}, "warmup", "[0, 1]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "decay": True}, "decay", "[0, 1]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "warmup": 0.6, "decay": 5}, "decay", "[0, 9]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "shape": "sqrt"}, "shape", "'1-sqrt'"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "start": 2}, "start", "[0, 1]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "final": -0.1}, "final", "[0, 1]"),
    (InverseSquareRoot, {"learning_rate": float("inf"), "timescale": 9}, "learning_rate", "> 0"),
    (InverseSquareRoot, {"learning_rate": 1.0, "timescale": 0.5}, "timescale", ">= 1"),
    (REX, {"learning_rate": "1", "horizon": 9}, "learning_rate", "> 0"),
    (REX, {"learning_rate": 1.0, "horizon": 9.0}, "horizon", ">= 1"),
    (REX, {"learning_rate": 1.0, "horizon": 2**31}, "horizon", "< 2**31"),
    (REX, {"learning_rate": 1.0, "horizon": np.int64(2**31)}, "horizon", "< 2**31"),
    (REX, {"learning_rate": 1.0, "horizon": np.float64(9)}, "horizon", ">= 1"),
    (REX, {"learning_rate": 1.0, "horizon": np.True_}, "horizon", ">= 1"),
    (REX, {"learning_rate": 10**400, "horizon": 9}, "learning_rate", "> 0"),
    (REX, {"learning_rate": np.float64("inf"), "horizon": 9}, "learning_rate", "> 0"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "warmup": np.int64(10), "decay": 0}, "warmup", "[0, 9]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "warmup": np.float32(1.5)}, "warmup", "[0, 1]"),
    (WarmupStableDecay, {"learning_rate": 1.0, "horizon": 9, "decay": np.int64(-1)}, "decay", "[0, 1]"),
    (CosineRestarts, {"learning_rate": 1.0, "horizon": 9, "period": np.int64(0)}, "period", "(0, 1]"),
    (CosineRestarts, {"learning_rate": 1.0, "horizon": 9, "period": 0}, "period", "(0, 1]"),
    (CosineRestarts, {"learning_rate": 1.0, "horizon": 9, "period": 1.5}, "period", "[0, 1]"),
    (CosineRestarts, {"learning_rate": 1.0, "horizon": 9, "growth": 0.9}, "growth", ">= 1"),
    (CosineRestarts, {"learning_rate": 1.0, "horizon": 9, "final": 1.1}, "final", "[0, 1]"),
    (Warmup, {"schedule": "cosine", "updates": 9}, "schedule", "> 0"),
    (Warmup, {"schedule": lambda step: 0.1, "updates": 9}, "schedule", "LearningRateSchedule"),
    (Warmup, {"schedule": 0.1, "updates": 0}, "updates", ">= 1"),
    (Warmup, {"schedule": 0.1, "updates": 0.1}, "updates", ">= 1"),
    (Warmup, {"schedule": 0.1, "updates": 9, "start": -1}, "start", "[0, 1]"),
    (Join, {"schedules": [0.1], "boundaries": []}, "schedules", "two or more"),
    (Join, {"schedules": [0.1, -0.1], "boundaries": [3]}, "schedules", "> 0"),
    (Join, {"schedules": [0.1, 0.2], "boundaries": [3, 4]}, "boundaries", "a list of 1"),
    (Join, {"schedules": [0.1, 0.2], "boundaries": [0]}, "boundaries", ">= 1"),
    (Join, {"schedules": [0.1, 0.2, 0.3], "boundaries": [4, 4]}, "boundaries", "increase"),
]


@pytest.mark.parametrize(("cls", "given", "name", "range"), WRONG)
def test_what_cannot_be_is_refused_in_one_line(cls, given, name, range):
    with pytest.raises(ValueError) as caught:
        cls(**given)
    said = str(caught.value)
    assert said.startswith(f"{cls.__name__}: ")
    assert f"`{name}`" in said
    assert range in said
    assert "Received: " in said
    assert "\n" not in said


def test_a_schedule_without_a_factor_says_so():
    with pytest.raises(NotImplementedError, match="Schedule has no `factor`"):
        Schedule().factor(0.0, 1)
