"""Every line search, on the functions of Moré and Thuente and on what surrounds a search in a training.

Moré and Thuente, Line Search Algorithms with Guaranteed Sufficient Decrease, 1994, section 5.
"""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize._dcsrch import DCSRCH

from custom_optimizers.line_search import Armijo, HagerZhang, NonmonotoneArmijo, StrongWolfe

LIMIT = 60  # evaluations, more than any search may make


def rational(t):
    return -t / (t * t + 2), (t * t - 2) / (t * t + 2) ** 2


def quintic(t):
    t = t + 0.004
    return t**5 - 2 * t**4, 5 * t**4 - 8 * t**3


def oscillating(t, width=0.01, waves=39):
    value, slope = (1 - t, -1.0) if t <= 1 - width else (t - 1, 1.0)
    if abs(t - 1) < width:
        value, slope = (t - 1) ** 2 / (2 * width) + width / 2, (t - 1) / width
    factor = 2 * (1 - width) / (waves * math.pi)
    phase = waves * math.pi / 2
    return value + factor * math.sin(phase * t), slope + factor * phase * math.cos(phase * t)


def yanai(first, second):
    def function(t):
        a, b = (math.sqrt(1 + beta * beta) - beta for beta in (first, second))
        root, other = math.hypot(1 - t, second), math.hypot(t, first)
        return a * root + b * other, -a * (1 - t) / root + b * t / other

    return function


FUNCTIONS = {
    "rational": rational,
    "quintic": quintic,
    "oscillating": oscillating,
    "flat at both ends": yanai(0.001, 0.001),
    "flat at 0": yanai(0.01, 0.001),
    "flat at 1": yanai(0.001, 0.01),
}
FIRST_STEPS = (1e-3, 0.1, 1.0, 10.0, 1e3)
SEARCHES = {
    "strong wolfe": StrongWolfe(),
    "strong wolfe, flatter": StrongWolfe(curvature=0.1),
    "hager zhang": HagerZhang(),
    "hager zhang, flatter": HagerZhang(curvature=0.2),
    "armijo": Armijo(),
    "nonmonotone armijo": NonmonotoneArmijo(),
}
DTYPES = ("float32", "float64") if keras.backend.backend() != "jax" else ("float32",)


def scalar(value, dtype="float64"):
    return ops.convert_to_tensor(np.asarray(value, dtype))


def searched(search, function, first, dtype="float64", state=None):
    """`(state at the end, steps that were looked at)`."""
    state = search.initial_state(dtype) if state is None else state
    state = search.begin(state, *(scalar(each, dtype) for each in (*function(0.0), first)))
    steps = []
    while not (state["accepted"] or state["failed"]) and len(steps) < LIMIT:
        steps.append(float(state["step"]))
        state = search.next(state, *(scalar(each, dtype) for each in function(steps[-1])))
    return state, steps


def meets(search, function, t):
    """Whether a step is what the docstring of a search promises."""
    (value_0, slope_0), (value, slope) = function(0.0), function(t)
    falls = value <= value_0 + search.decrease * t * slope_0
    if isinstance(search, Armijo):
        return falls
    if isinstance(search, StrongWolfe):
        return falls and abs(slope) <= search.curvature * abs(slope_0)
    is_near = value <= value_0 + search.tolerance * abs(value_0)
    is_approximate = is_near and (2 * search.decrease - 1) * slope_0 >= slope
    return slope >= search.curvature * slope_0 and (falls or is_approximate)


@pytest.mark.parametrize("dtype", [pytest.param(d, marks=[pytest.mark.slow] * (d == "float32")) for d in DTYPES])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_step_is_what_is_promised(name, dtype):
    search = SEARCHES[name]
    for function, first in itertools.product(FUNCTIONS.values(), FIRST_STEPS):
        state, steps = searched(search, function, first, dtype)
        assert state["accepted"]
        assert len(steps) <= 20
        assert float(state["step"]) == steps[-1]
        ends_early = isinstance(search, StrongWolfe) and len(steps) > 1 and steps[-1] in steps[:-1]
        assert ends_early or meets(search, function, steps[-1])


@pytest.mark.skipif("float64" not in DTYPES, reason="JAX computes in float32 here")
@pytest.mark.slow_cases("0.001-0.001")
@pytest.mark.parametrize(("decrease", "curvature"), [(1e-3, 0.9), (0.1, 0.1), (1e-3, 1e-3), (1e-3, 0.1)])
def test_strong_wolfe_looks_where_that_of_scipy_looks(decrease, curvature):
    """SciPy's `dcsrch`, which is that of MINPACK; it counts up to 20 evaluations."""
    for function, first in itertools.product(FUNCTIONS.values(), FIRST_STEPS):
        theirs, task = [], b"START"
        other = DCSRCH(None, None, decrease, curvature, 0.1, 0, 1e10)
        step, _, _, task = other._iterate(first, *function(0.0), task)
        while task[:2] == b"FG":
            theirs.append(float(step))
            step, _, _, task = other._iterate(step, *function(step), task)
        _, ours = searched(StrongWolfe(decrease, curvature), function, first)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_shortens_the_step(name, bad):
    def function(t):
        return ((t - 0.3) ** 2, 2 * (t - 0.3)) if t < 1 else (bad, bad)

    for first in (1.0, 7.0, 1e4):
        state, steps = searched(SEARCHES[name], function, first, "float32")
        assert state["accepted"]
        assert steps[-1] < 1
        assert function(steps[-1])[0] < function(0.0)[0]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_function_that_never_decreases_ends_the_search(name):
    """Its slope says that it does: so it is where rounding hides the decrease, or where a gradient is wrong."""
    state, steps = searched(SEARCHES[name], lambda t: (1.0 + 0.1 * (t > 0), -1.0), 1.0, "float32")
    assert state["failed"]
    assert not state["accepted"]
    assert len(steps) <= SEARCHES[name].evaluations


def test_slopes_find_the_minimum_where_losses_are_rounding():
    """In float32 a parabola on a height of 1,000 is flat as far as its values go."""

    def function(t):
        return np.float32(1000) + np.float32(1e-5) * np.float32((t - 1) ** 2), 2e-5 * (t - 1)

    state, steps = searched(HagerZhang(decrease=0.05, curvature=0.1), function, 3.0, "float32")
    assert state["accepted"]
    assert steps[-1] == pytest.approx(1, abs=0.1)


def test_nonmonotone_armijo_remembers_the_last_losses():
    search, state, taken = NonmonotoneArmijo(memory=2), None, []
    for value, next_value in ((1.0, 0.5), (0.5, 0.9), (0.9, 0.95), (0.95, 0.92)):
        values = {0.0: (value, -1e-9), 1.0: (next_value, 0.0)}
        state = search.begin(search.initial_state() if state is None else state, *map(scalar, (*values[0.0], 1.0)))
        taken.append(bool(search.next(state, *map(scalar, values[1.0]))["accepted"]))
    assert taken == [True, True, False, True]  # 0.95 is above 0.5 and 0.9, and 0.92 below 0.95


@pytest.mark.parametrize("name", SEARCHES)
def test_the_state_is_all_that_there_is(name):
    """A search goes on from its numbers, in the order of their names, as if it had not been interrupted."""
    search, function = SEARCHES[name], FUNCTIONS["oscillating"]
    _, steps = searched(search, function, 10.0, "float32")
    state, again = search.begin(search.initial_state(), *(scalar(e, "float32") for e in (*function(0.0), 10.0))), []
    while not (state["accepted"] or state["failed"]):
        numbers = [float(state[each]) for each in search.state_names]
        assert set(state) == set(search.state_names)
        state = {each: scalar(n, "float32") for each, n in zip(search.state_names, numbers, strict=True)}
        again.append(float(state["step"]))
        state = search.next(state, *(scalar(each, "float32") for each in function(again[-1])))
    assert again == steps


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_is_what_its_arguments_say(name):
    search = SEARCHES[name]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(search))
    assert again == search
    assert hash(again) == hash(search)
    assert again != type(search)(evaluations=7)
    assert repr(search).startswith(type(search).__name__ + "(")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: StrongWolfe(decrease=0), "StrongWolfe: `decrease` must be a finite number in"),
        (lambda: StrongWolfe(curvature=1), "StrongWolfe: `curvature` must be a finite number in"),
        (lambda: StrongWolfe(evaluations=1), "StrongWolfe: `evaluations` must be an int >= 2"),
        (lambda: Armijo(decrease=1.5), "Armijo: `decrease` must be a finite number in"),
        (lambda: Armijo(evaluations=0), "Armijo: `evaluations` must be an int >= 1"),
        (lambda: NonmonotoneArmijo(memory=0), "NonmonotoneArmijo: `memory` must be an int >= 1"),
        (lambda: HagerZhang(decrease=0.5), "HagerZhang: `decrease` must be a finite number in"),
        (lambda: HagerZhang(curvature=0.05), "HagerZhang: `curvature` must be a finite number in"),
        (lambda: HagerZhang(tolerance=-1), "HagerZhang: `tolerance` must be a finite number"),
    ],
)
def test_arguments_that_cannot_be(make, words):
    with pytest.raises(ValueError, match=words):
        make()
