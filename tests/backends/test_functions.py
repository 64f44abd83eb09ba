"""Searches in `compile` and `fit` on the functions of optax's tests, in float64, beside SciPy, on every backend."""

import pytest

from benchmarks.counted import calls_to
from benchmarks.functions import (
    ACCURACY,
    FUNCTIONS,
    HAVE_MANY_MINIMA,
    METHODS,
    OURS,
    fitted,
    float64,
    is_good,
    of_scipy,
    summary,
)

CASES = [(name, method) for method in OURS for name in FUNCTIONS]
QUICK = (
    "eggholder-hager_zhang",
    "matyas-nonlinear_cg",
    "steep-self_scaled_broyden",
)


@pytest.mark.slow_cases(*(case for case in map("-".join, CASES) if case not in QUICK))
@pytest.mark.parametrize(("name", "method"), CASES, ids=["-".join(case) for case in CASES])
@pytest.mark.slow_on_jax
def test_it_comes_as_far_as_scipy(name, method):
    with float64():
        found = fitted(name, method, epochs=20)
    theirs = {each: of_scipy(name, each) for each in METHODS}
    lowest = min(each["value"] for each in theirs.values())
    assert is_good(name, found, lowest, found["improvements"][0][1])
    level = (found["value"] if name in HAVE_MANY_MINIMA else lowest) + ACCURACY
    if method == "strong_wolfe":
        wanted = calls_to(theirs["L-BFGS-B"]["value"] + ACCURACY, theirs["L-BFGS-B"]["improvements"])
        assert calls_to(level, found["improvements"]) <= 1.1 * wanted + 1


def of(holds, evaluations):
    """What `compared` returns of one function, as far as the summary looks at it."""
    counted = {method: {"evaluations": calls} for method, calls in evaluations.items()}
    return {"holds": holds, **counted}


def test_the_summary_takes_ratios_where_both_solve():
    every = dict.fromkeys((*OURS, *METHODS), True)
    calls = dict.fromkeys(every, 10)
    functions = {
        "a": of(every, {**calls, "nonlinear_cg": 12, "bfgs": 9}),
        "b": of({**every, "CG": False}, {**calls, "CG": None, "nonlinear_cg": 30, "bfgs": 30}),
        "c": of({**every, "bfgs": False}, {**calls, "bfgs": None}),
    }
    found = summary(functions)
    cg, bfgs = found["nonlinear_cg"], found["bfgs"]
    assert (cg["solved"], cg["solved_by_other"], cg["functions"], cg["median_ratio"]) == (1, 2 / 3, 2, 1.1)
    assert cg["holds"] == {"share": True, "calls": True}
    assert (bfgs["functions"], bfgs["largest_ratio"], bfgs["holds"]) == (2, 3, {"share": False, "calls": False})
