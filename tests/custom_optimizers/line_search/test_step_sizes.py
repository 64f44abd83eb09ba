"""Rules that say how long a step of descent is, beside the loops of their papers, in float64 by NumPy alone."""

import itertools

import keras
import numpy as np
import pytest

from custom_optimizers import LBFGS, BatchGD, NonlinearCG
from custom_optimizers.directions import Steepest
from custom_optimizers.line_search import CDAT, AdGD, BarzilaiBorwein, Polyak, StepSize
from custom_optimizers.minimizer import FLAT, NO_DECREASE, NOT_FINITE, Minimizer

CURVATURES = np.geomspace(1, 20, 8)
START = np.ones(8)
RULES = {
    "long": BarzilaiBorwein(),
    "short": BarzilaiBorwein("short"),
    "alternating": BarzilaiBorwein("alternating"),
    "ad_gd": AdGD(),
    "polyak": Polyak(),
    "cdat": CDAT(),
}


def parabola(x):
    return CURVATURES @ x**2 / 2, CURVATURES * x


def logistic(x):
    """Convex, and lowest at 0, with a curvature that gets less on the way."""
    return np.log(np.cosh(CURVATURES * x)).sum(), CURVATURES * np.tanh(CURVATURES * x)


def searched(rule, function, start, evaluations=500, first=0.01, dtype="float64", least=1e-9):
    """The minimizer's numbers at the end, and the points that were accepted."""
    minimizer = Minimizer(Steepest(), rule, len(start), dtype, first)
    state, points = minimizer.initial_state(start), []
    with np.errstate(all="ignore"):
        for _ in range(evaluations):
            before = int(minimizer.updates(state["counts"]))
            state = minimizer.next(state, *function(minimizer.next_point(state)))
            found = minimizer.read(state)
            if found["updates"] > before or not points:
                points.append(state["point"].copy())
            if found["reason"] or np.linalg.norm(state["gradient"]) < least:
                break
    return found, points


def steps_of(points, function):
    """The step sizes between points."""
    return [np.linalg.norm(b - a) / np.linalg.norm(function(a)[1]) for a, b in itertools.pairwise(points)]


@pytest.mark.parametrize("name", ["long", "short", "alternating"])
def test_steps_of_barzilai_and_borwein_are_those_of_the_formula(name):
    found, points = searched(RULES[name], parabola, START)
    assert np.linalg.norm(points[-1]) < 1e-8
    assert found["updates"] < 100
    s, y = np.diff(points, axis=0), np.diff([parabola(x)[1] for x in points], axis=0)
    formulas = {"long": (s * s).sum(1) / (s * y).sum(1), "short": (s * y).sum(1) / (y * y).sum(1)}
    wanted = {**formulas, "alternating": np.where(np.arange(len(s)) % 2, formulas["long"], formulas["short"])}[name]
    other = np.where(np.arange(len(s)) % 2, formulas["short"], formulas["long"])
    ours = steps_of(points, parabola)[1:]
    is_as_wanted = [np.allclose(ours, each[:-1], rtol=1e-6) for each in (wanted, other)]
    assert is_as_wanted[0] or (name == "alternating" and is_as_wanted[1])
    assert all(1 / CURVATURES.max() <= t * (1 + 1e-9) and t <= (1 + 1e-9) / CURVATURES.min() for t in ours)


@pytest.mark.parametrize("variant", ["long", "short", "alternating"])
def test_without_curvature_the_step_is_ten_times_the_last_one(variant):
    rule = BarzilaiBorwein(variant)
    state = {**rule.initial_state("float64"), "step": np.float64(0.3)}
    with np.errstate(all="ignore"):
        for products in ((1.0, 0.0, 0.0), (1.0, -2.0, 5.0), (1.0, np.nan, np.nan)):
            assert rule.first(state, np.float64(0.01), tuple(map(np.float64, products))) == pytest.approx(3.0)
        bounded = rule.first(state, np.float64(0.01), tuple(map(np.float64, (1.0, 1e-30, 1e-60))))
    assert bounded == 1e10


def test_barzilai_and_borwein_leave_a_hill():
    found, points = searched(BarzilaiBorwein(), lambda x: (-np.cos(x).sum(), np.sin(x)), np.array([3.0, -2.9]))
    assert found["value"] == pytest.approx(-2)
    assert np.linalg.norm(points[-1]) < 1e-7


def of_the_paper(function, start, first, updates):
    """Algorithm 1 of Malitsky and Mishchenko."""
    points, rate, ratio = [start, start - first * function(start)[1]], first, np.inf
    for _ in range(updates - 1):
        s, y = points[-1] - points[-2], function(points[-1])[1] - function(points[-2])[1]
        after = min(np.sqrt(1 + ratio) * rate, np.linalg.norm(s) / (2 * np.linalg.norm(y)))
        points.append(points[-1] - after * function(points[-1])[1])
        rate, ratio = after, after / rate
    return points


@pytest.mark.parametrize("function", [parabola, logistic])
@pytest.mark.parametrize("first", [1e-6, 0.01])
def test_ad_gd_is_the_algorithm_of_its_paper(function, first):
    start = 0.05 * START
    _, ours = searched(AdGD(), function, start, 41, first)
    np.testing.assert_allclose(ours, of_the_paper(function, start, first, 40), rtol=1e-6, atol=1e-12)
    assert function(ours[-1])[0] < 0.05 * function(start)[0]


def test_ad_gd_begins_with_a_unit_of_the_weights_at_most():
    _, points = searched(AdGD(), parabola, START, 2, first=10.0)
    assert np.linalg.norm(points[1] - points[0]) == pytest.approx(1)


def test_ad_gd_goes_on_where_the_gradient_does_not_change():
    """As on a slope without curvature, or where the first step is so short that the gradient is the same in float32."""
    _, points = searched(AdGD(), lambda x: (-x.sum(), -np.ones(8)), START, 6, first=1e-3)
    steps = steps_of(points, lambda x: (0, np.ones(8)))
    assert steps[0] == pytest.approx(1e-3)
    assert np.all(np.diff(steps) > 0)
    assert steps[1] <= 0.011
    found, _ = searched(AdGD(), parabola, START, 400, first=1e-12, dtype="float32", least=1e-3)
    assert found["value"] < 1e-3 * parabola(START)[0]


def test_polyak_is_the_formula():
    _, points = searched(Polyak(), parabola, START, 40)
    for t, x in zip(steps_of(points, parabola), points, strict=False):
        value, gradient = parabola(x)
        assert t == pytest.approx(value / (gradient @ gradient), rel=1e-6)
    _, points = searched(Polyak(lowest=-1.0, largest=0.2), parabola, START, 40)
    wanted = [min((f + 1) / (g @ g), 0.2) for f, g in map(parabola, points)]
    np.testing.assert_allclose(steps_of(points, parabola), wanted[:-1], rtol=1e-6)
    assert {0.2} < {round(t, 9) for t in wanted}


def test_polyak_ends_at_the_lowest_loss_or_below():
    for lowest in (parabola(START)[0], 1e6):
        found, points = searched(Polyak(lowest), parabola, START)
        assert (found["reason"], found["updates"]) == (NO_DECREASE, 0)
        np.testing.assert_array_equal(points, [START])


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float64", 1e-9)])
@pytest.mark.parametrize("smoothing", [0, 0.9])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_cdat_knows_the_curvature_of_a_parabola(scale, dtype, tolerance, smoothing):
    found, points = searched(CDAT(scale, smoothing), parabola, START, 21, dtype=dtype)
    assert (found["updates"], len(points)) == (10, 11)  # two evaluations an update
    averages = None
    for t, x in zip(steps_of(points, parabola), points, strict=False):
        gradient = CURVATURES * x
        known = np.array([gradient @ gradient, CURVATURES @ gradient**2])
        averages = known if averages is None else smoothing * averages + (1 - smoothing) * known
        assert t == pytest.approx(scale * averages[0] / averages[1], rel=10 * tolerance)


@pytest.mark.parametrize("name", RULES)
def test_where_the_loss_is_not_finite_the_step_is_shortened(name):
    def function(x):
        return (np.inf, np.nan * x) if x.max() > 1.5 or x.min() < 0 else parabola(x)

    found, points = searched(RULES[name], function, START, 200, first=1e3)
    assert all(0 <= point.min() <= point.max() <= 1.5 for point in points)
    assert found["value"] < 0.1 * parabola(START)[0] or found["reason"] == NO_DECREASE
    assert len(points) > 1
    found, points = searched(RULES[name], lambda x: (np.nan, x), START)
    assert (found["reason"], found["evaluations"]) == (NOT_FINITE, 1)
    values = itertools.chain([parabola(START)], itertools.repeat((np.nan, START)))
    found, _ = searched(RULES[name], lambda x: next(values), START)
    assert (found["reason"], found["updates"]) == (NO_DECREASE, 0)
    assert found["evaluations"] == 1 + RULES[name].evaluations


@pytest.mark.parametrize("name", RULES)
def test_a_gradient_of_zero_is_the_end(name):
    found, _ = searched(RULES[name], lambda x: (1.0, 0 * x), START, least=0)
    assert (found["reason"], found["evaluations"]) == (FLAT, 1)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_what_its_arguments_say(name):
    rule = RULES[name]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rule))
    assert again == rule
    assert again != type(rule)(evaluations=7)
    optimizer = BatchGD(0.1, line_search=rule)
    assert BatchGD.from_config(optimizer.get_config()).line_search == rule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BarzilaiBorwein("middle"), "BarzilaiBorwein: `variant` must be one of 'long', 'short', 'alternating'"),
        (lambda: BarzilaiBorwein(memory=0), "`memory` must be an int >= 1"),
        (lambda: Polyak(lowest=np.nan), "Polyak: `lowest` must be a finite number"),
        (lambda: Polyak(largest=0), "Polyak: `largest` must be a finite number > 0"),
        (lambda: CDAT(scale=-1), "CDAT: `scale` must be a finite number > 0"),
        (lambda: AdGD(evaluations=0), "AdGD: `evaluations` must be an int >= 1"),
        (lambda: StepSize(evaluations=True), "StepSize: `evaluations` must be an int >= 1"),
        (
            lambda: LBFGS(line_search="cdat"),
            "LBFGS: CDAT is a rule for steps along the gradient alone: give it to BatchGD",
        ),
        (lambda: NonlinearCG(line_search=Polyak()), "NonlinearCG: Polyak is a rule for steps along the gradient alone"),
    ],
)
def test_arguments_that_cannot_be(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
