"""CDAT: what it takes for the curvature, its averages, and its step."""

import numpy as np
import pytest

from custom_optimizers.line_search import CDAT


def steps(search, curvatures, gradient=1.0):
    """The steps of updates at points where the gradient is the same and the loss is a parabola along it."""
    state, found = search.initial_state("float64"), []
    for curvature in curvatures:
        state = search.begin(state, 1.0, -(gradient**2), 0.1)
        probe = float(state["step"])
        state = search.next(state, 1.0, -(gradient**2) + probe * curvature * gradient**2)
        assert not state["accepted"]
        found.append(float(state["step"]))
        state = search.next(state, 0.5, 0.0)
        assert state["accepted"]
    return found


@pytest.mark.parametrize(
    ("search", "curvatures", "expected"),
    [
        (CDAT(scale=2, smoothing=0), [4, -4, 0.5], [0.5, 0.5, 4]),
        (CDAT(scale=1, smoothing=0), [4, 8], [0.25, 0.125]),
        (CDAT(scale=2, smoothing=0.5), [4, 8, 0], [1 / 2, 1 / 3, 2 / 3]),  # averages of 4, 6 and 3
        (CDAT(), [4, 1e-12], [1 / 2, 2 / 3.6]),
    ],
)
def test_the_step_by_the_averages_of_curvatures(search, curvatures, expected):
    np.testing.assert_allclose(steps(search, curvatures, gradient=3.0), expected, rtol=1e-6)


def test_the_probe_is_a_small_share_of_the_last_step():
    search = CDAT(scale=2)
    state = search.begin(search.initial_state("float32"), np.float32(1), np.float32(-1), np.float32(0.1))
    share = float(np.finfo("float32").eps) ** (1 / 3)
    assert float(state["step"]) == pytest.approx(0.1 * share, rel=1e-5)
    state = search.next(state, np.float32(1), np.float32(-1) + state["step"])  # the curvature is 1
    assert float(state["step"]) == pytest.approx(2, rel=1e-3)
    state = search.begin(search.next(state, np.float32(1), np.float32(0)), np.float32(1), np.float32(-1), 0.1)
    assert float(state["step"]) == pytest.approx(2 * share, rel=1e-3)


def test_a_probe_that_is_not_finite_is_shortened_and_counts_for_nothing():
    search = CDAT()
    begun = search.begin(search.initial_state("float64"), 1.0, -1.0, 0.1)
    state = search.next(begun, np.inf, np.nan)
    assert state["step"] == pytest.approx(0.1 * begun["step"])
    assert (state["is_probe"], state["accepted"], state["failed"], state["curvature"]) == (1, 0, 0, 0)
    state = search.next(state, 1.0, -1.0 + 4 * state["step"])
    assert state["step"] == pytest.approx(0.5)


@pytest.mark.parametrize("smoothing", [-0.1, 1, None])
def test_averages_that_keep_all_are_refused(smoothing):
    with pytest.raises(ValueError) as error:
        CDAT(smoothing=smoothing)
    assert "CDAT: `smoothing` must be a finite number in [0, 1)." in str(error.value)
