"""L-BFGS as a state machine, one evaluation after the other, beside SciPy's L-BFGS-B and a textbook's two loops."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize

from custom_optimizers.backend import backend_module
from custom_optimizers.directions import Direction, LBFGSDirection, Steepest
from custom_optimizers.line_search import Armijo, HagerZhang, StrongWolfe
from custom_optimizers.minimizer import FLAT, NO_DECREASE, NOT_FINITE, STALLED, Minimizer

WIDE = "float32" if keras.backend.backend() == "jax" else "float64"


def himmelblau(x):
    a, b = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
    return a**2 + b**2, np.array([4 * x[0] * a + 2 * b, 2 * a + 4 * x[1] * b])


def matyas(x):
    return 0.26 * x @ x - 0.48 * x[0] * x[1], 0.52 * x - 0.48 * x[::-1]


def zakharov(x):
    weights = 0.5 * np.arange(1, len(x) + 1)
    total = weights @ x
    return x @ x + total**2 + total**4, 2 * x + weights * (2 * total + 4 * total**3)


def rosenbrock(x):
    return optimize.rosen(x), optimize.rosen_der(x)


PROBLEMS = {
    "rosenbrock": (rosenbrock, [0, 0]),
    "rosenbrock from the usual start": (rosenbrock, [-1.2, 1]),
    "rosenbrock of ten": (rosenbrock, [-1.2] * 10),
    "himmelblau": (himmelblau, [1, 1]),
    "himmelblau from afar": (himmelblau, [100, -50]),
    "matyas": (matyas, [1, 2]),
    "zakharov": (zakharov, [600, 700, 200, 100, 90, 1e3]),
}


def tensors(values, dtype=WIDE):
    return ops.convert_to_tensor(np.asarray(values, dtype))


def minimised(function, start, direction=None, line_search=None, dtype=WIDE, most=500, gradient_norm=1e-8):
    """The state at the end, as numbers of NumPy."""
    minimizer = Minimizer(direction or LBFGSDirection(), line_search or StrongWolfe(), len(start), dtype)
    state = {name: ops.convert_to_tensor(value) for name, value in minimizer.initial_state(start).items()}
    following, next_point = map(backend_module().compiled, (minimizer.next, minimizer.next_point))
    for _ in range(most):
        value, gradient = function(ops.convert_to_numpy(next_point(state)).astype("float64"))
        state = following(state, tensors(value, dtype), tensors(gradient, dtype))
        if (
            int(minimizer.read(state)["reason"])
            or np.abs(ops.convert_to_numpy(state["gradient"])).max() < gradient_norm
        ):
            break
    return {name: ops.convert_to_numpy(value) for name, value in {**state, **minimizer.read(state)}.items()}


@pytest.mark.skipif(WIDE == "float32", reason="JAX computes in float32 here")
@pytest.mark.slow_cases(
    *("rosenbrock of ten", "himmelblau", "himmelblau from afar", "matyas", "rosenbrock"),
    "rosenbrock from the usual start",
)
@pytest.mark.parametrize("name", PROBLEMS)
def test_as_few_evaluations_as_scipy_needs(name):
    function, start = PROBLEMS[name]
    options = {"maxcor": 10, "ftol": 0, "gtol": 1e-8}
    theirs = optimize.minimize(function, np.array(start, float), jac=True, method="L-BFGS-B", options=options)
    ours = minimised(function, start)
    assert abs(ours["value"] - theirs.fun) <= 1e-12
    assert ours["evaluations"] <= 1.15 * theirs.nfev + 2
    assert ours["updates"] < ours["evaluations"]


@pytest.mark.parametrize("line_search", [StrongWolfe(), HagerZhang(), Armijo()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("name", ["rosenbrock", "himmelblau"])
def test_float32_comes_close_and_says_why_it_ends(name, line_search):
    function, start = PROBLEMS[name]
    found = minimised(function, start, line_search=line_search, dtype="float32", gradient_norm=1e-3)
    assert found["value"] <= 1e-5
    assert found["reason"] in (0, NO_DECREASE, STALLED)


def two_loops(steps, changes, gradient):
    """The recursion of Nocedal and Wright, algorithm 7.4, the newest pair last."""
    q, factors = gradient.copy(), []
    for s, y in zip(steps[::-1], changes[::-1], strict=True):
        factors.append((s @ q) / (s @ y))
        q -= factors[-1] * y
    q *= (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1]) if len(steps) else 1
    for s, y, factor in zip(steps, changes, factors[::-1], strict=True):
        q += s * (factor - (y @ q) / (s @ y))
    return -q


@pytest.mark.parametrize("history", [1, 3, 5])
def test_the_direction_is_that_of_the_two_loops(history):
    rng, direction = np.random.default_rng(0), LBFGSDirection(history)
    root = rng.normal(size=(6, 6))
    hessian, steps, changes = root @ root.T + np.eye(6), [], []
    state = {name: ops.convert_to_tensor(value) for name, value in direction.initial_state(6, WIDE).items()}
    for i in range(16):
        is_convex, is_taken, has_failed = i != 4, i not in (0, 5, 7, 9), i == 9
        gradient, step = rng.normal(size=(2, 6))
        change = hessian @ step if is_convex else -hessian @ step
        if is_convex and is_taken:
            steps.append(step)
            changes.append(change)
        if has_failed:
            steps, changes = [], []
        given = map(tensors, (gradient, step, change))
        state, found = direction.next(state, *given, *map(ops.convert_to_tensor, (is_taken, has_failed)))
        wanted = two_loops(steps[-history:], changes[-history:], gradient)
        tolerance = 1e-10 if WIDE == "float64" else 1e-3
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, rtol=tolerance, atol=1e-5)
        assert int(state["pairs"]) == len(steps)


def test_what_is_not_finite_is_never_taken():
    def function(x):
        value = np.log(x[0]) if x[0] > 0 else math.nan
        return value**2, np.array([2 * value / x[0]])

    found = minimised(function, [20.0], gradient_norm=1e-4)
    assert found["point"][0] == pytest.approx(1, abs=1e-3)
    assert minimised(function, [-1.0])["reason"] == NOT_FINITE
    assert minimised(function, [-1.0])["evaluations"] == 1


def test_it_ends_with_a_reason():
    assert minimised(lambda x: (1.0, 0 * x), [3.0, 4.0], gradient_norm=0)["reason"] == FLAT
    wrong = minimised(lambda x: (float(x @ x), -2 * x), [3.0, 4.0], gradient_norm=0)  # a gradient of the wrong sign
    assert wrong["reason"] in (NO_DECREASE, STALLED)  # steps so short that the loss stays by rounding are no decrease
    np.testing.assert_allclose(wrong["point"], [3, 4], rtol=1e-6)


def test_steepest_descent_needs_more():
    ours = minimised(rosenbrock, [-1.2, 1], dtype="float32", gradient_norm=1e-2)
    steepest = minimised(rosenbrock, [-1.2, 1], Steepest(), Armijo(), dtype="float32", gradient_norm=1e-2)
    assert ours["evaluations"] < steepest["evaluations"] / 4


class Spoilt(Direction):
    """Steepest descent at first; then so short that no loss changes, as rounding may make it, until it forgets."""

    arguments = ("forgets",)

    def __init__(self, forgets=True):
        self.forgets = forgets

    def initial_state(self, size, dtype="float32"):
        return {"updates": np.zeros((), "int32"), "failures": np.zeros((), "int32")}

    def next(self, state, gradient, step, change, is_taken, has_failed):
        state = {"updates": state["updates"] + is_taken, "failures": state["failures"] + (has_failed and self.forgets)}
        return state, -gradient * (1 if self.is_steepest(state) else 1e-20)

    def is_steepest(self, state):
        return bool(state["updates"] < 3 or state["failures"])


@pytest.mark.parametrize("forgets", [True, False])
def test_what_a_direction_has_learnt_is_forgotten_before_a_stall_is_an_end(forgets):
    minimizer = Minimizer(Spoilt(forgets), Armijo(), 2, "float64")
    state, evaluations = minimizer.initial_state(np.array([1.0, 2.0])), 0
    while not minimizer.read(state)["reason"] and evaluations < 500:
        state, evaluations = minimizer.next(state, *matyas(minimizer.next_point(state))), evaluations + 1
    found = minimizer.read(state)
    if forgets:
        assert found["value"] < 1e-12
    else:
        assert (found["reason"], found["since_lowest"]) == (STALLED, 120)
        assert found["value"] > 1e-3
