"""BFGS and self-scaled Broyden beside their formulas with whole matrices, in more digits than float64 has."""

import numpy as np
import pytest
from scipy import optimize

from custom_optimizers import BFGS, SelfScaledBroyden
from custom_optimizers.directions import BFGSDirection, DenseDirection, SelfScaledBroydenDirection
from custom_optimizers.line_search import HagerZhang, StrongWolfe
from tests.custom_optimizers.directions.minimised import rosenbrock, tanh_network, updates_of
from tests.small import relative


def matrix_of(state):
    """The inverse Hessian that a state stands for."""
    if state["pairs"] == 0:
        return np.eye(len(state["last"]))
    waiting = state["rows"].T @ state["mix"] @ state["rows"]
    return state["scale"] * state["inverse"] + state["diagonal"] * np.eye(len(waiting)) + waiting


DIRECTIONS = {"bfgs": BFGSDirection, "self-scaled broyden": SelfScaledBroydenDirection}
FUNCTIONS = {
    "rosenbrock of 100": lambda: rosenbrock(100),
    "a network of 105 weights": lambda: tanh_network(2, 8, 8, 1),
}


@pytest.fixture(autouse=True)
def quotients_may_be_infinite():
    """As `Minimizer` computes on a processor."""
    with np.errstate(all="ignore"):
        yield


class TextbookBFGS:
    """Formula 6.17 of Nocedal and Wright, with a whole matrix."""

    def __init__(self, size):
        self.inverse = np.eye(size, dtype="longdouble")

    def learn(self, s, y):
        turned = self.inverse - np.outer(self.inverse @ y, s) / (s @ y)  # H @ V
        self.inverse = turned - np.outer(s, y @ turned) / (s @ y) + np.outer(s, s) / (s @ y)


class TextbookBroyden:
    """Formulas 13 to 23 of Urbán, Stefanou and Pons, with the Hessian B beside its inverse H."""

    def __init__(self, size):
        self.inverse, self.hessian = np.eye(size, dtype="longdouble"), np.eye(size, dtype="longdouble")
        self.is_first = True

    def learn(self, s, y):
        n, sy, hy, bs = len(s), s @ y, self.inverse @ y, self.hessian @ s
        yhy, sbs = y @ hy, s @ bs
        b, h = sbs / sy, yhy / sy
        a = b * h - 1
        c = np.sqrt(a / (1 + a))
        rho_minus = min(1, h * (1 - c))
        theta_minus, theta_plus = (rho_minus - 1) / a, 1 / rho_minus
        theta = max(theta_minus, min(theta_plus, (1 - b) / b))
        sigma, rho_plus = 1 + a * theta, min(1, 1 / b)
        if theta > 0:
            tau = rho_plus * min(sigma ** (np.longdouble(1) / (1 - n)), 1 / theta)
        else:
            tau = min(rho_plus * sigma ** (np.longdouble(1) / (1 - n)), sigma)
        if self.is_first:
            tau = h / sigma
        self.is_first = False
        phi = (1 - theta) / (1 + a * theta)
        v = np.sqrt(yhy) * (s / sy - hy / yhy)
        w = np.sqrt(sbs) * (y / sy - bs / sbs)
        inverse = self.inverse - np.outer(hy, hy) / yhy + phi * np.outer(v, v)
        self.inverse = inverse / tau + np.outer(s, s) / sy
        hessian = self.hessian - np.outer(bs, bs) / sbs + theta * np.outer(w, w)
        self.hessian = hessian * tau + np.outer(y, y) / sy


REFERENCES = {"bfgs": TextbookBFGS, "self-scaled broyden": TextbookBroyden}


@pytest.mark.slow_cases("rosenbrock of 100-self-scaled broyden", "a network of 105 weights-bfgs")
@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_200_directions_are_those_of_the_formulas(function, name):
    """Of the same steps and gradients, to 1e-8."""
    function, start = FUNCTIONS[function]()
    reference, direction, errors = REFERENCES[name](len(start)), DIRECTIONS[name](), []
    for update in updates_of(direction, function, start, 200):
        reference.learn(update.step.astype("longdouble"), update.change.astype("longdouble"))
        errors.append(relative(update.along.astype("longdouble"), -reference.inverse @ update.gradient))
        assert int(update.state["pairs"]) == len(errors)  # each pair was one to learn from
    assert len(errors) == 200
    assert max(errors) < 1e-8
    if name == "self-scaled broyden":
        product = reference.hessian @ reference.inverse
        np.testing.assert_allclose(product, np.eye(len(start)), rtol=0, atol=1e-6)  # phi and theta belong together


@pytest.mark.slow
@pytest.mark.parametrize("name", DIRECTIONS)
def test_h_stays_positive_definite_and_all_directions_descend(name):
    """Over 1,000 updates, in which the loss of a network falls by eight powers of ten and more."""
    function, start = tanh_network(2, 10, 10, 1)
    count = 0
    for update in updates_of(DIRECTIONS[name](), function, start, 1000):
        count += 1
        assert update.along @ update.gradient < 0
        assert int(update.state["pairs"]) == count  # it has never begun anew
        if count % 100 == 0:
            inverse = matrix_of(update.state)
            np.testing.assert_allclose(inverse, inverse.T, atol=1e-8 * np.abs(inverse).max())
            assert np.linalg.eigvalsh((inverse + inverse.T) / 2)[0] > 0
    assert count == 1000


PROBLEMS = {
    "rosenbrock of 2 from zeros": lambda: (rosenbrock(2)[0], np.zeros(2)),
    "rosenbrock of 10 from zeros": lambda: (rosenbrock(10)[0], np.zeros(10)),
    "a parabola": lambda: parabola(np.geomspace(1, 1e6, 20)),
    "a rotated parabola": lambda: parabola(np.geomspace(1, 1e4, 12), is_rotated=True),
}


def parabola(curvatures, is_rotated=False):
    rng, size = np.random.default_rng(0), len(curvatures)
    turned = np.linalg.qr(rng.normal(size=(size, size)))[0] if is_rotated else np.eye(size)
    hessian = turned * curvatures @ turned.T
    return lambda x: (x @ hessian @ x / 2, hessian @ x), np.ones(size)


@pytest.mark.parametrize("line_search", [StrongWolfe(), HagerZhang()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_they_find_what_scipy_finds(problem, name, line_search):
    function, start = PROBLEMS[problem]()
    theirs = optimize.minimize(function, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    points = [start]
    for update in updates_of(DIRECTIONS[name](), function, start, 500, line_search):
        points.append(points[-1] + update.step)
        if np.abs(update.gradient).max() <= 1e-8:
            break
    assert np.abs(update.gradient).max() <= 1e-6
    np.testing.assert_allclose(points[-1], theirs.x, atol=1e-6)
    assert function(points[-1])[0] <= theirs.fun + 1e-12


def told(direction, size, pairs, dtype="float64"):
    """The state of a direction after steps and changes of the gradient, an array of such pairs, and `(state, d)`."""
    state, gradient = direction.initial_state(size, dtype), np.ones(size, dtype)
    state, along = direction.next(state, gradient, 0 * gradient, gradient, np.False_, np.False_)
    for change in pairs:
        step, gradient = 0.1 * along, gradient + change
        state, along = direction.next(state, gradient, step, change.astype(dtype), np.True_, np.False_)
    return state, along


def test_broyden_of_one_variable_is_the_secant():
    """As BFGS is: H is `s / y`, whatever it was before."""
    function = lambda x: (np.log(np.cosh(x)).sum() + 0.1 * (x**2).sum(), np.tanh(x) + 0.2 * x)  # noqa: E731
    count = 0
    for update in updates_of(SelfScaledBroydenDirection(), function, np.array([3.0]), 8):
        count += 1
        np.testing.assert_allclose(update.along, -update.step / update.change * update.gradient, rtol=1e-6)
    assert count >= 5


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])  # of the curvature that there is to the one that H expects
@pytest.mark.parametrize("pairs", [7, 8])  # the one that is written into the matrix, and the first that waits
@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-8, 1e-6])  # of the line through `H @ y`, where `a` is 0
def test_broyden_whose_family_has_one_member_is_bfgs_scaled(off, ratio, pairs):
    """From H divided by tau; there phi is a quotient of roundings, and says nothing."""
    change = np.array([3.0, 0, 4, 0])
    step = change / ratio + off * np.array([0.0, 1, 0, 0])
    direction, before = SelfScaledBroydenDirection(), -step
    known = {"inverse": np.eye(4), "scale": np.float64(1), "last": step.copy(), "pairs": np.int32(pairs)}
    state = direction.initial_state(4) | known
    state, _ = direction.next(state, before + change, step, change, np.True_, np.False_)
    b = (step @ step) / (step @ change)
    reference = TextbookBFGS(4)
    reference.inverse, reference.is_first = reference.inverse / min(1, 1 / b), False
    reference.learn(step, change)
    np.testing.assert_allclose(matrix_of(state), reference.inverse.astype("float64"), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_pair_without_curvature_changes_nothing(name):
    rng = np.random.default_rng(0)
    direction = DIRECTIONS[name]()
    state, along = told(direction, 6, -0.05 * rng.uniform(0.5, 1.5, (3, 1)) * np.ones((1, 6)))
    before, gradient = {key: value.copy() for key, value in state.items()}, rng.normal(size=6)
    assert int(before["pairs"]) == 3
    for change in (-0.3 * along, 0 * along, np.full(6, np.nan), np.full(6, np.inf)):
        state, _ = direction.next(state, gradient, 0.1 * along, change, np.bool_(np.isfinite(change).all()), np.False_)
        np.testing.assert_array_equal(matrix_of(state), matrix_of(before))
        assert int(state["pairs"]) == 3
        state = {key: value.copy() for key, value in before.items()}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_failure_and_a_direction_that_ascends_begin_anew(name):
    rng, direction = np.random.default_rng(0), DIRECTIONS[name]()
    pairs, gradient = -0.05 * np.ones((2, 6)), rng.normal(size=6)
    state, along = told(direction, 6, pairs)
    state, along = direction.next(state, gradient, along, gradient, np.False_, np.True_)
    np.testing.assert_array_equal(along, -gradient)
    assert (int(state["pairs"]), bool(direction.is_steepest(state))) == (0, True)
    state, _ = told(direction, 6, pairs)
    # As rounding may make it:
    state |= {"inverse": -np.eye(6), "scale": np.float64(1), "diagonal": np.float64(0), "mix": 0 * state["mix"]}
    state, along = direction.next(state, gradient, 0 * gradient, gradient, np.False_, np.False_)
    np.testing.assert_array_equal(along, -gradient)
    assert int(state["pairs"]) == 0


@pytest.mark.parametrize("make", [BFGS, SelfScaledBroyden])
def test_more_parameters_than_are_allowed_are_refused_with_their_memory(make):
    direction = make(max_parameters=100).search.direction
    direction.initial_state(100)
    message = (
        rf"^{make.__name__} keeps a row and a column .* each of the 20,000 trained parameters, which are 3\.2 GB in "
        r"float64, and `max_parameters` is 100: raise it, or take LBFGS, [^\n]*$"
    )
    with pytest.raises(ValueError, match=message):
        direction.initial_state(20_000, "float64")
    for wrong in (0, 1.5, None):
        with pytest.raises(ValueError, match=f"{make.__name__}: `max_parameters` must be an int >= 1"):
            make(max_parameters=wrong)
    with pytest.raises(NotImplementedError, match="DenseDirection has no `factors` method"):
        DenseDirection().factors(1, 1, 1, True, 1)
