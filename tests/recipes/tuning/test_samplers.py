"""How a search of one number chooses the next: spread over the range, near the best, and beyond it at an end."""

import math
import types

import keras_tuner
import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from recipes.tuning.distributions import params_of
from recipes.tuning.samplers import on_a_grid, on_a_line

LOW, HIGH = 0.01, 1.0


def space():
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", LOW, HIGH, sampling="log")
    return hp


def tried(worth, count, direction="max", statuses=lambda rate: "COMPLETED"):
    """The rates of a search, in their order, as shares of the range's logarithm."""
    rows = []
    for _ in range(count):
        (rate,) = on_a_line(space(), rows, direction=direction, count=count).values()
        rows.append({"values": {"rate": rate}, "score": worth(rate), "status": statuses(rate)})
    return [math.log(row["values"]["rate"] / LOW) / math.log(HIGH / LOW) for row in rows]


@pytest.mark.parametrize(
    ("count", "places"),
    [
        (1, [1 / 2]),
        (2, [1 / 4, 3 / 4]),
        (3, [1 / 6, 3 / 6, 5 / 6]),
        (4, [1 / 8, 3 / 8, 5 / 8, 7 / 8]),
        (5, [0, 1 / 4, 1 / 2, 3 / 4, 1]),
    ],
)
def test_few_values_are_spread_over_the_range(count, places):
    np.testing.assert_allclose(sorted(tried(lambda rate: 0, count)), places, atol=1e-9)


def test_the_ones_that_are_left_go_to_the_best():
    places = tried(lambda rate: -abs(math.log(rate / 0.2)), 12)
    best = math.log(0.2 / LOW) / math.log(HIGH / LOW)
    assert min(abs(place - best) for place in places) < 0.01
    assert all(0 <= place <= 1 for place in places)


@pytest.mark.parametrize(("best", "end"), [(30.0, max), (0.0004, min)])
def test_where_the_best_is_at_an_end_they_go_beyond_it(best, end):
    places = tried(lambda rate: abs(math.log(rate / best)), 12, direction="min")
    wanted = math.log(best / LOW) / math.log(HIGH / LOW)
    assert abs(end(places) - wanted) < 0.5
    assert min(abs(place - wanted) for place in places) < 0.1
    assert all(-1 <= place <= 2 for place in places)


def test_they_do_not_go_on_beyond_a_rate_that_fails():
    places = tried(lambda rate: rate, 8, statuses=lambda rate: "COMPLETED" if rate <= 1 else "FAILED")
    assert max(places) == pytest.approx(1.25)
    assert all(0.75 < place < 1.25 for place in places[6:])


def test_equal_ones_keep_it_inside():
    assert all(0 <= place <= 1 for place in tried(lambda rate: 0, 10))


def test_optuna_is_told_a_value_beyond_the_range_as_it_is():
    params, distributions = params_of(space(), {"rate": 31.6})
    assert params == {"rate": 31.6}
    assert distributions == {"rate": FloatDistribution(LOW, 31.6, log=True)}


@pytest.mark.parametrize("count", [2, 3, 5, 10, 20])
def test_a_grid_with_few_trials_is_spread_over_its_combinations(count):
    """From the first to the last, each once; all of them where there are trials for all."""
    rows = []
    while len(rows) < count and (values := on_a_grid(space(), rows, [0], count=count)) is not None:
        rows.append({"values": values, "step": types.SimpleNamespace(configuration=len(rows))})
    rates = sorted(row["values"]["rate"] for row in rows)
    places = [math.log(rate / LOW) / math.log(HIGH / LOW) for rate in rates]
    assert len(set(rates)) == len(rates) == min(count, 11)  # KerasTuner makes ten of a range, and its lowest
    assert places[0] == 0
    assert places[-1] == pytest.approx(0.95)
    assert max(np.diff(places)) <= 0.95 / (len(places) - 1) + 0.1
