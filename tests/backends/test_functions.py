"""L-BFGS in `compile` and `fit` on the functions of optax's tests, in float64, beside SciPy, on every backend."""

import pytest

from benchmarks.counted import calls_to
from benchmarks.functions import ACCURACY, FUNCTIONS, HAVE_MANY_MINIMA, METHODS, fitted, float64, is_good, of_scipy

CASES = [(name, "strong_wolfe") for name in FUNCTIONS] + [(name, "hager_zhang") for name in FUNCTIONS]
QUICK = ("matyas-strong_wolfe", "eggholder-strong_wolfe", "eggholder-hager_zhang")


@pytest.mark.slow_cases(*(case for case in map("-".join, CASES) if case not in QUICK))
@pytest.mark.parametrize(("name", "line_search"), CASES, ids=["-".join(case) for case in CASES])
def test_it_comes_as_far_as_scipy(name, line_search):
    with float64():
        found = fitted(name, line_search, epochs=20)
    theirs = {method: of_scipy(name, method) for method in METHODS}
    lowest = min(each["value"] for each in theirs.values())
    assert is_good(name, found, lowest, found["improvements"][0][1])
    level = (found["value"] if name in HAVE_MANY_MINIMA else lowest) + ACCURACY
    if line_search == "strong_wolfe":
        wanted = calls_to(theirs["L-BFGS-B"]["value"] + ACCURACY, theirs["L-BFGS-B"]["improvements"])
        assert calls_to(level, found["improvements"]) <= 1.1 * wanted + 1
