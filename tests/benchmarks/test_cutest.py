"""The parts of the benchmark on CUTEst, on functions at hand: its problems are in an environment of their own."""

import json
import math

import numpy as np
import pytest
from scipy import optimize

from benchmarks import cutest
from benchmarks.counted import Counted, Exhausted, calls_to


def rosenbrock(x):
    return optimize.rosen(x), optimize.rosen_der(x)


def nowhere(x):
    return math.nan, 0 * x


START = np.array([-1.2, 1.0])


def test_calls_are_counted_and_end():
    counted = Counted(lambda x: (x @ x, 2 * x), most=4)
    for x in (3.0, 2.0, math.nan, 1.0):
        counted(np.array([x]))
    assert counted.improvements == [(1, 9.0), (2, 4.0), (4, 1.0)]
    assert [calls_to(level, counted.improvements) for level in (9, 4, 3, 0)] == [1, 2, 4, None]
    with pytest.raises(Exhausted):
        counted(np.zeros(1))
    assert counted.calls == 4


@pytest.mark.slow
def test_the_first_step_is_ours():
    seen = {}
    for solver in ("strong_wolfe", "lbfgsb", "lbfgsb_own"):
        points = seen[solver] = []

        def noted(x, points=points):
            points.append(np.array(x))
            return rosenbrock(x)

        with pytest.raises(Exhausted):
            cutest.SOLVERS[solver](Counted(noted, most=6), START)
    gradient = rosenbrock(START)[1]
    np.testing.assert_allclose(seen["strong_wolfe"][1], START - gradient / np.abs(gradient).sum(), rtol=1e-12)
    np.testing.assert_allclose(seen["lbfgsb"], seen["strong_wolfe"], rtol=1e-9)  # and those after it
    assert abs(seen["lbfgsb_own"][1] - seen["lbfgsb"][1]).max() > 0.01


def test_scipy_begins_again_until_that_lowers_nothing(monkeypatch):
    runs, lbfgsb = [], cutest.lbfgsb

    def noted(*arguments):
        runs.append(lbfgsb(*arguments))
        return runs[-1]

    monkeypatch.setattr(cutest, "lbfgsb", noted)
    counted = Counted(lambda x: (rosenbrock(x)[0] + 5, rosenbrock(x)[1]), most=1000)
    cutest.lbfgsb_on_equal_terms(counted, START)
    values = [run.fun for run in runs]
    assert len(values) > 1
    assert values[-1] >= values[-2] == min(values[:-1])
    assert counted.calls == 1 + sum(run.nfev - 1 for run in runs)  # none twice at the same point


@pytest.mark.slow
def test_all_solve_what_is_easy_and_the_file_keeps_it(tmp_path, monkeypatch, capsys):
    path = tmp_path / "rows.jsonl"
    found = cutest.rows_of(path, {"ROSENBR": (rosenbrock, START), "NOWHERE": (nowhere, START)})
    monkeypatch.setattr(cutest, "SOLVERS", dict.fromkeys(cutest.SOLVERS))  # nothing is computed again
    assert json.dumps(cutest.rows_of(path, {"ROSENBR": (rosenbrock, START)})["ROSENBR"]) == json.dumps(found["ROSENBR"])
    each = {name: cutest.judged(rows) for name, rows in found.items()}
    assert each["ROSENBR"]["start"] == pytest.approx(24.2)
    assert all(of["lowest"] < 1e-20 and 20 < of["calls"] < 99 for of in each["ROSENBR"]["solvers"].values())
    whole = cutest.summary(each)
    assert whole["problems"] == 1
    assert list(whole["excluded"]) == ["NOWHERE"]
    assert whole["solved"] == dict.fromkeys(cutest.SOLVERS, 1.0)
    assert whole["holds"]["strong_wolfe"] == {"share": True, "calls": True}


def test_what_is_worse_than_scipy_is_told():
    def row(*improvements):
        return {"variables": 2, "calls": 9, "ended": "", "improvements": list(improvements)}

    fast, slow, short = row((1, 1.0), (4, 0.0)), row((1, 1.0), (8, 0.0)), row((1, 1.0), (3, 0.5))
    rows = {**dict.fromkeys(cutest.SOLVERS, fast), "strong_wolfe": slow, "hager_zhang": short}
    third = {**rows, "hager_zhang": fast}
    found = cutest.summary({name: cutest.judged(each) for name, each in zip("ABC", (rows, rows, third), strict=True)})
    assert found["holds"]["strong_wolfe"] == {"share": True, "calls": False}
    assert found["holds"]["hager_zhang"] == {"share": False, "calls": True}
    assert found["failed"] == {**{solver: [] for solver in cutest.SOLVERS}, "hager_zhang": ["A", "B"]}
    assert found["calls_to_theirs"]["strong_wolfe"]["median"] == 2
