"""Nonlinear conjugate gradients beside their formulas."""

import numpy as np
import pytest
from scipy import optimize

from custom_optimizers import NonlinearCG
from custom_optimizers.directions import ConjugateGradients
from custom_optimizers.directions.conjugate_gradients import LEAST_DESCENT
from custom_optimizers.line_search import HagerZhang, StrongWolfe
from tests.custom_optimizers.directions.minimised import rosenbrock, updates_of

BETAS = {  # of the gradient after a step, the one before it, its change, and the direction of the step
    "polak_ribiere_plus": lambda g, g_before, y, d: max(0, g @ y / (g_before @ g_before)),
    "fletcher_reeves": lambda g, g_before, y, d: g @ g / (g_before @ g_before),
    "hestenes_stiefel": lambda g, g_before, y, d: max(0, g @ y / (d @ y)),
    "dai_yuan": lambda g, g_before, y, d: g @ g / (d @ y),
    "hager_zhang": lambda g, g_before, y, d: max(
        (y - 2 * d * (y @ y) / (d @ y)) @ g / (d @ y),
        -1 / (np.linalg.norm(d) * min(0.01, np.linalg.norm(g_before))),
    ),
}
TAKEN, NOT = np.True_, np.False_


@pytest.fixture(autouse=True)
def quotients_may_be_infinite():
    """As `Minimizer` computes on a processor."""
    with np.errstate(all="ignore"):
        yield


def begun(beta, gradient):
    direction, nothing = ConjugateGradients(beta), np.zeros_like(gradient)
    state, along = direction.next(
        direction.initial_state(len(gradient), "float64"), gradient, nothing, gradient, NOT, NOT
    )
    np.testing.assert_array_equal(along, -gradient)
    return direction, state, along


@pytest.mark.parametrize("name", BETAS)
def test_beta_is_that_of_the_formula(name):
    """Where the direction descends enough; elsewhere it is the steepest one."""
    rng, kinds = np.random.default_rng(0), {True: 0, False: 0}
    for scale in (0.01, 0.3, 1.0):  # of the change of the gradient beside the gradient
        gradient = rng.normal(size=5)
        direction, state, along = begun(name, gradient)
        for _ in range(40):
            before, change = gradient, scale * np.linalg.norm(gradient) * rng.normal(size=5)
            gradient = before + change
            beta = BETAS[name](gradient, before, change, along)
            wanted = -gradient + beta * along
            descends = beta != 0 and wanted @ gradient <= -LEAST_DESCENT * gradient @ gradient
            state, along = direction.next(state, gradient, 0.1 * along, change, TAKEN, NOT)
            np.testing.assert_allclose(along, wanted if descends else -gradient, rtol=1e-9)
            assert bool(direction.is_steepest(state)) is not descends
            assert along @ gradient < 0
            kinds[bool(descends)] += 1
    assert kinds[True] > 10
    assert (kinds[False] == 0) is (name == "hager_zhang")  # which descends by itself


@pytest.mark.parametrize("name", ["polak_ribiere_plus", "fletcher_reeves"])
def test_a_gradient_that_is_gone_after_a_step_is_not_lost_in_rounding(name):
    """In float32, after one that was ten thousand times as long and after one that is nearly the same."""
    before, rest = np.array([3.0, -1.0, 2.0], "float32"), np.array([1e-4, 2e-4, -1e-4], "float32")
    for first, second in ((before, rest), (rest, before), (before, before + rest)):
        direction, zeros = ConjugateGradients(name), np.zeros(3, "float32")
        state, along = direction.next(direction.initial_state(3, "float32"), first, zeros, first, NOT, NOT)
        change = second - first
        shares, *_ = direction.coefficients(
            state["is_conjugate"], state["square"], _products(second, change, along), TAKEN, NOT
        )
        beta = BETAS[name](*(each.astype("float64") for each in (second, first, change, along)))
        slope = -second @ second + beta * (second @ along)
        assert shares[1] == pytest.approx(beta if slope <= -LEAST_DESCENT * second @ second else 0, rel=1e-3)


def _products(*vectors):
    return np.stack(vectors) @ np.stack(vectors).T


@pytest.mark.parametrize("name", BETAS)
def test_a_parabola_of_n_variables_takes_n_exact_steps(name):
    rng = np.random.default_rng(1)
    turned = np.linalg.qr(rng.normal(size=(9, 9)))[0]
    hessian, gradient = turned * np.geomspace(1, 30, 9) @ turned.T, rng.normal(size=9)
    direction, state, along = begun(name, gradient)
    norms = [np.linalg.norm(gradient)]
    for _ in range(9):
        step = -(gradient @ along) / (along @ hessian @ along) * along
        change = hessian @ step
        gradient = gradient + change
        norms.append(np.linalg.norm(gradient))
        state, along = direction.next(state, gradient, step, change, TAKEN, NOT)
    assert norms[-1] < 1e-9 * norms[0]
    assert norms[-2] > 1e-5 * norms[0]


@pytest.mark.parametrize("name", BETAS)
def test_a_failure_begins_anew_and_a_rejected_point_changes_nothing(name):
    gradient = np.array([1.0, 2.0, -1.0])
    direction, state, along = begun(name, gradient)
    after = np.array([0.5, -0.4, 0.1])
    state, along = direction.next(state, after, 0.1 * along, after - gradient, TAKEN, NOT)
    assert not direction.is_steepest(state)
    for change in (0 * after, after, np.full(3, np.nan)):
        state, same = direction.next(state, after, 0.2 * along, change, NOT, NOT)
        np.testing.assert_array_equal(same, along)
        assert not direction.is_steepest(state)
    state, along = direction.next(state, after, along, after, NOT, TAKEN)
    np.testing.assert_array_equal(along, -after)
    assert direction.is_steepest(state)


@pytest.mark.parametrize("name", BETAS)
def test_it_finds_what_scipy_finds(name):
    function, _ = rosenbrock(2)
    theirs = optimize.minimize(function, np.zeros(2), jac=True, method="CG", options={"gtol": 1e-8})
    point, line_search = np.zeros(2), StrongWolfe(curvature=0.1)
    for update in updates_of(ConjugateGradients(name), function, point, 500, line_search):
        point = point + update.step
        if np.abs(update.gradient).max() <= 1e-8:
            break
    np.testing.assert_allclose(point, theirs.x, atol=1e-6)


def test_arguments():
    assert (NonlinearCG().beta, NonlinearCG().line_search) == ("polak_ribiere_plus", StrongWolfe(curvature=0.1))
    assert NonlinearCG("dai_yuan", "hager_zhang").line_search == HagerZhang()
    with pytest.raises(ValueError, match=r"NonlinearCG: `beta` must be one of 'polak_ribiere_plus', .* Received: 'pr'"):
        NonlinearCG("pr")
    with pytest.raises(ValueError, match=r"^NonlinearCG has no `momentum`: the search is along the gradient"):
        NonlinearCG(momentum=0.9)
    for rate in (0.1, 0.0, None):
        with pytest.raises(ValueError, match=r"^NonlinearCG has no `learning_rate`: the search finds the step"):
            NonlinearCG(learning_rate=rate)
    with pytest.raises(
        ValueError, match=r"one of 'strong_wolfe', 'hager_zhang', 'armijo', 'nonmonotone_armijo', or an"
    ):
        NonlinearCG(line_search="wolfe")
