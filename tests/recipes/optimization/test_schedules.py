"""The learning rates that `--schedule` names, each held to optax or a closed form."""

import math

import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.optimizers.schedules import CosineDecay, InverseTimeDecay, LearningRateSchedule

from recipes.errors import CommandError
from recipes.optimization import make_schedule, shared_updates
from recipes.settings.schedules import SCHEDULES, has_horizon, parse_schedule, schedule_entries
from tests import schedules as numbers
from tests.schedules import PEAK

UPDATES = 200


def rates(text, updates=UPDATES, some=None):
    """The rate at some updates of a run, or at all."""
    rate, some = make_schedule(text, PEAK, updates), some or range(updates)
    return np.array([rate if isinstance(rate, float) else float(rate(update)) for update in some])


def joined(*schedules_and_boundaries):
    schedules, boundaries = schedules_and_boundaries[::2], schedules_and_boundaries[1::2]
    return optax.join_schedules(schedules, boundaries)


def rise(updates, start=0.1):
    return optax.linear_schedule(start * PEAK, PEAK, updates)


NUMBERS = [  # text, a function of the update, whether the horizon matters
    ("constant", optax.constant_schedule(PEAK), False),
    ("constant:warmup=20,start=0.5", joined(rise(20, 0.5), 20, optax.constant_schedule(PEAK)), False),
    ("constant:warmup=0.1", joined(rise(20), 20, optax.constant_schedule(PEAK)), True),
    ("step", optax.piecewise_constant_schedule(PEAK, {60: 0.1, 120: 0.1, 180: 0.1}), True),
    ("step:0.5,every=70", optax.piecewise_constant_schedule(PEAK, {70: 0.5, 140: 0.5}), False),
    ("exponential", optax.exponential_decay(PEAK, 200, 0.01), True),
    ("exponential:0.5,warmup=20", joined(rise(20), 20, optax.exponential_decay(PEAK, 180, 0.5)), True),
    ("inverse_time", lambda t: PEAK / (1 + 0.01 * t), False),
    ("inverse_time:0.5", lambda t: PEAK / (1 + 0.5 * t), False),
    ("inverse_time:decay=2", lambda t: PEAK / (1 + 2 * t), False),
    ("polynomial", optax.polynomial_schedule(PEAK, 0, 2, 200), True),
    ("polynomial:0.5,end=0.1", optax.polynomial_schedule(PEAK, 0.1 * PEAK, 0.5, 200), True),
    ("linear", optax.linear_schedule(PEAK, 0, 200), True),
    ("linear:0.2,warmup=40", joined(rise(40), 40, optax.linear_schedule(PEAK, 0.2 * PEAK, 160)), True),
    ("cosine", optax.cosine_decay_schedule(PEAK, 200), True),
    ("cosine:0.1,period=80", optax.cosine_decay_schedule(PEAK, 80, 0.1), False),
    ("cosine:period=0.5,warmup=40", optax.warmup_cosine_decay_schedule(0.1 * PEAK, PEAK, 40, 120), True),
    ("cosine_restarts", lambda t: numbers.restarts(t, 200, [50] * 4), True),
    ("cosine_restarts:30,growth=2,end=0.1", lambda t: numbers.restarts(t, 200, [30, 60, 120], 0.1), False),
    ("one_cycle", lambda t: numbers.one_cycle(t, 200, "cosine"), True),
    ("one_cycle:0.45,shape=linear", lambda t: numbers.one_cycle(t, 200, "linear", 0.45), True),
    ("one_cycle:div_factor=2,final_div_factor=5", lambda t: numbers.one_cycle(t, 200, "cosine", 0.3, 0.2, 0.04), True),
    ("warmup_cosine", optax.warmup_cosine_decay_schedule(0.1 * PEAK, PEAK, 20, 200), True),
    ("warmup_cosine:warmup=50,end=0.5", optax.warmup_cosine_decay_schedule(0.04, PEAK, 50, 200, 0.5 * PEAK), True),
    ("warmup_stable_decay", lambda t: numbers.warmup_stable_decay(t, 20, 40, 200, "1-sqrt"), True),
    (
        "warmup_stable_decay:0.5,shape=linear,end=0.1,warmup=7,start=0",
        lambda t: numbers.warmup_stable_decay(t, 7, 100, 200, "linear", 0.0, 0.1),
        True,
    ),
    ("inverse_square_root", lambda t: numbers.inverse_square_root(t, 20), True),
    ("inverse_square_root:30", lambda t: numbers.inverse_square_root(t, 30), False),
    ("rex", lambda t: numbers.rex(t, 200), True),
    (
        "constant:until=0.5+cosine",
        joined(optax.constant_schedule(PEAK), 100, optax.cosine_decay_schedule(PEAK, 100)),
        True,
    ),
    (
        "linear:until=60,end=0.5,warmup=0.5+constant",
        joined(rise(30), 30, optax.linear_schedule(PEAK, 0.5 * PEAK, 30), 60, optax.constant_schedule(PEAK)),
        False,
    ),
    (
        "constant:until=20+linear:until=0.5+inverse_time:1",
        joined(
            optax.constant_schedule(PEAK), 20, optax.linear_schedule(PEAK, 0, 80), 100, lambda t: PEAK / (1 + abs(t))
        ),
        True,
    ),
    ("constant:until=1000+rex", optax.constant_schedule(PEAK), True),
    (
        "rex:until=50+cosine:period=30",
        joined(lambda t: numbers.rex(t, 50), 50, optax.cosine_decay_schedule(PEAK, 30)),
        False,
    ),
]


@pytest.mark.parametrize(("text", "expected"), [case[:2] for case in NUMBERS], ids=[text for text, *_ in NUMBERS])
def test_numbers(text, expected):
    wanted = [float(expected(update)) for update in range(UPDATES)]
    np.testing.assert_allclose(rates(text), wanted, atol=PEAK * 1e-6, rtol=1e-6)


@pytest.mark.parametrize(("text", "horizon"), [case[::2] for case in NUMBERS], ids=[text for text, *_ in NUMBERS])
def test_the_horizon_matters_if_another_changes_the_rates(text, horizon):
    assert has_horizon(text) == horizon
    some = (0, 5, 30, 60, 130, 199, 700, 1100, 1500, 1900)
    assert (rates(text, 2000, some) != rates(text, 3000, some)).any() == horizon


def test_every_schedule_has_its_numbers():
    assert {text.partition(":")[0] for text, *_ in NUMBERS} == set(SCHEDULES)


@pytest.mark.parametrize("updates", [1, 5, 9, 10, 15, 19, 26, 150, 3000])
def test_a_tenth_is_rounded_down(updates):
    """As a warm-up of `updates // 10`, to the bit."""
    warmup = updates // 10
    own = CosineDecay(PEAK / 10, updates - warmup, warmup_target=PEAK, warmup_steps=warmup)
    some = range(0, updates, max(updates // 150, 1))
    found = make_schedule("warmup_cosine", PEAK, updates)
    assert [float(found(update)) for update in some] == [float(own(update)) for update in some]


def test_constant_and_inverse_time_are_what_they_were():
    assert make_schedule("constant", 0.3, 10) == 0.3
    config = InverseTimeDecay(0.3, decay_steps=1, decay_rate=0.02).get_config()
    assert make_schedule("inverse_time:0.02", 0.3, 10).get_config() == config


def test_a_full_batch_of_a_resnet():
    """Geiping et al., 2022: 3000 updates of a cosine of 4000 that begins after 400."""
    text = "warmup_cosine:warmup=400,start=0,period=4000"
    rate = make_schedule(text, 0.8, 3000)
    found = [float(rate(update)) / 0.8 for update in (0, 200, 400, 3000)]
    expected = [0, 0.5, 1, 0.5 * (1 + math.cos(2600 / 4000 * math.pi))]
    assert found == pytest.approx(expected, abs=1e-6)
    assert expected[-1] == pytest.approx(0.273, abs=5e-4)
    assert not has_horizon(text)


@pytest.mark.parametrize("text", [*SCHEDULES, "constant:until=0.5+cosine:until=0.75,warmup=0.1+rex"])
@pytest.mark.parametrize("updates", [1, 2, 3, 10])
def test_runs_of_few_updates(text, updates):
    found = rates(text, updates)
    assert np.all((found >= 0) & (found <= PEAK * (1 + 1e-6)))
    assert found[0] > 0


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    warmup=st.one_of(st.integers(0, 50), st.floats(0, 0.5).map(lambda share: round(share, 6))),
    start=st.floats(0, 1),
    updates=st.integers(100, 10**6),
)
def test_every_schedule_takes_a_warm_up(name, warmup, start, updates):
    (part,) = parse_schedule(f"{name}:warmup={warmup},start={start}")
    assert (part.values["warmup"], part.values["start"]) == (warmup, start)
    rate = make_schedule(f"{name}:warmup={warmup},start={start}", PEAK, updates)
    rise = warmup if isinstance(warmup, int) else int(warmup * updates + 1e-9)
    if rise and name != "one_cycle":
        assert float(rate(0)) == pytest.approx(start * PEAK, abs=1e-7)
        assert float(rate(rise)) == pytest.approx(PEAK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("warmup_stable_decay:warmup=90,decay=0.2", "together must be in [0, 100]"),
        ("constant:until=0.5+linear:until=20+rex", "until=20 comes before update 50 of 100"),
    ],
)
def test_what_does_not_fit_into_a_run(text, said):
    parse_schedule(text)
    with pytest.raises(CommandError) as caught:
        make_schedule(text, PEAK, 100)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("constant", 100),
        ("step:0.5,every=70", 100),
        ("cosine:0.1,period=80", 100),
        ("cosine", 0),
        ("constant:warmup=0.1", 0),
        ("constant:until=0.5+cosine", 0),
        ("warmup_stable_decay:0.3,warmup=5", 70),
        ("warmup_stable_decay:30,warmup=5", 70),
        ("warmup_stable_decay:0.3", 0),
    ],
)
def test_the_first_updates_that_a_longer_run_shares(text, shared):
    assert shared_updates(text, 100) == shared
    if shared:
        np.testing.assert_array_equal(rates(text, 100, range(shared)), rates(text, 300, range(shared)))


def test_each_line_of_the_list_can_be_made():
    for written, _ in schedule_entries():
        assert isinstance(make_schedule(written, PEAK, 100), LearningRateSchedule | float)
