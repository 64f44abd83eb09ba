"""L-BFGS, BFGS and conjugate gradients beside SciPy's on CUTEst: unconstrained, at most 100 variables, in float64.

Every solver has 1,000 evaluations of a function and its gradient, counted by a wrapper around it, from the start of the
problem and with a history of 10. Stopping tests are off: a solver ends where it finds no lower point, or after the last
evaluation. A problem is solved by whoever has evaluated a point with

    f <= f* + 1e-5 * (f of the start - f*)          # f*: the lowest value that any solver of its group has seen

and what is compared is after how many evaluations, within three groups: limited memory, a matrix, and conjugate
gradients. SciPy's BFGS and CG begin again where they have ended, as long as that lowers the value. "lbfgsb_own" is its
L-BFGS-B as it is. "lbfgsb", which ours is compared with, differs from that in two things: its first step is not
1 / norm(g) but ours, min(1, 1 / sum(abs(g))), by other units of its variables; and where it ends, as it does when a
value has not changed by a bit, it begins again.

The problems are those of `sif2jax`, which takes half a minute to import, in an environment of its own. All of it takes
about a quarter of an hour. What each solver saw of a problem is a line of a file, so an interrupted run goes on where
it was; after a change of ours, delete the lines of what has changed, or the file.

    make bench-cutest
    .venv-cutest/bin/python -m benchmarks.cutest
    .venv-cutest/bin/python -m benchmarks.cutest ROSENBR BEALE --rows /tmp/two.jsonl        # these alone, printed
"""

import argparse
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import statistics

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
from keras import ops
from scipy import optimize

from benchmarks.counted import Counted, Exhausted, calls_to
from benchmarks.record import write
from custom_optimizers.backend import backend_module
from custom_optimizers.directions import (
    BFGSDirection,
    ConjugateGradients,
    LBFGSDirection,
    SelfScaledBroydenDirection,
)
from custom_optimizers.line_search import HagerZhang, StrongWolfe
from custom_optimizers.minimizer import FLAT, NO_DECREASE, NOT_FINITE, STALLED, Minimizer
from custom_optimizers.nonlinear_cg import CURVATURE

HISTORY, LARGEST_SIZE, MOST = 10, 100, 1000  # pairs; variables; evaluations
ACCURACY = 1e-5  # of the way from the start to the lowest value, what may be missing
ENDS = {NO_DECREASE: "no decrease", NOT_FINITE: "not finite", FLAT: "gradient 0", STALLED: "stalled"}
BOUNDS = {"share_below_theirs": 0.02, "median_ratio": 1.1}


def ours(direction, line_search):
    """A solver: `Minimizer` with a direction and a line search."""

    @functools.cache
    def compiled(size):
        minimizer = Minimizer(direction, line_search, size, "float64")
        return minimizer, *map(backend_module().compiled, (minimizer.next_point, minimizer.next))

    def solve(function, start):
        minimizer, next_point, following = compiled(len(start))
        state = {name: ops.convert_to_tensor(each) for name, each in minimizer.initial_state(start).items()}
        reason = 0
        while not reason:
            value, gradient = function(ops.convert_to_numpy(next_point(state)))
            state = following(state, ops.convert_to_tensor(np.asarray(value)), ops.convert_to_tensor(gradient))
            numbers = {name: ops.convert_to_numpy(state[name]) for name in ("numbers", "counts")}
            reason = int(minimizer.read(numbers)["reason"])
        return ENDS[reason]

    return solve


def lbfgsb(function, start):
    """SciPy's L-BFGS-B as it is: with `ftol=0` it still ends where the value has not changed by a bit."""
    options = {"maxcor": HISTORY, "ftol": 0, "gtol": 0, "maxiter": 10 * MOST, "maxfun": 10 * MOST}
    return optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options)


def lbfgsb_on_equal_terms(function, start):
    """SciPy's L-BFGS-B with our first step, and begun again where it has ended, as long as that lowers the value."""
    value, gradient = function(start)
    while True:
        evaluated = [(value, gradient)]  # it begins with this evaluation, which has been made
        unit = unit_of_first_step(gradient)

        def in_units(x, unit=unit, evaluated=evaluated):
            at, of = evaluated.pop() if evaluated else function(unit * x)
            return at, unit * of

        found = lbfgsb(in_units, start / unit)
        if not found.fun < value:
            return found
        start, value, gradient = unit * found.x, found.fun, found.jac / unit


def begun_again(method):
    """A solver: a method of SciPy, begun again where it has ended, as long as that lowers the value."""

    def solve(function, start):
        value, gradient = function(start)
        while True:
            evaluated = [(value, gradient)]  # it begins with this evaluation, which has been made

            def once(x, evaluated=evaluated):
                return evaluated.pop() if evaluated else function(x)

            options = {"gtol": 0, "maxiter": 10 * MOST}
            with np.errstate(all="ignore"):
                found = optimize.minimize(once, start, jac=True, method=method, options=options)
            if not found.fun < value:
                return found
            start, value, gradient = found.x, found.fun, found.jac

    return solve


def unit_of_first_step(gradient):
    """The unit of the variables in which the first step of L-BFGS-B, 1 / norm(g), is min(1, 1 / sum(abs(g)))."""
    length = float(np.abs(gradient).sum())
    return float(np.linalg.norm(gradient)) / max(1, length) if 0 < length < math.inf else 1.0


SOLVERS = {
    "strong_wolfe": ours(LBFGSDirection(HISTORY), StrongWolfe()),
    "hager_zhang": ours(LBFGSDirection(HISTORY), HagerZhang()),
    "lbfgsb": lbfgsb_on_equal_terms,
    "lbfgsb_own": lbfgsb,
    "bfgs": ours(BFGSDirection(), StrongWolfe()),
    "self_scaled_broyden": ours(SelfScaledBroydenDirection(), StrongWolfe()),
    "scipy_bfgs": begun_again("BFGS"),
    "nonlinear_cg": ours(ConjugateGradients(), StrongWolfe(curvature=CURVATURE)),
    "scipy_cg": begun_again("CG"),
}
GROUPS = (  # solvers whose lowest value is the level for all of them
    ("strong_wolfe", "hager_zhang", "lbfgsb", "lbfgsb_own"),
    ("bfgs", "self_scaled_broyden", "scipy_bfgs"),
    ("nonlinear_cg", "scipy_cg"),
)
THEIRS = {  # what each of ours is compared with
    **{"strong_wolfe": "lbfgsb", "hager_zhang": "lbfgsb"},
    **{"bfgs": "scipy_bfgs", "self_scaled_broyden": "scipy_bfgs", "nonlinear_cg": "scipy_cg"},
}


def problems():
    """`{name: (function, start)}` of the unconstrained problems of sif2jax that are small enough."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import sif2jax
    from jax.flatten_util import ravel_pytree

    found = {}
    for problem in sif2jax.unconstrained_minimisation_problems:
        start, back = ravel_pytree(jax.tree.map(lambda each: np.asarray(each, "float64"), problem.y0))
        if len(start) <= LARGEST_SIZE:
            objective = lambda x, problem=problem, back=back: problem.objective(back(x), problem.args)  # noqa: E731
            found[problem.name] = jax.jit(jax.value_and_grad(objective)), np.asarray(start)
    return found


def solved(name, solver, function, start):
    """What a solver sees of a problem: a line of the file."""
    counted = Counted(function, MOST)
    try:
        ended = SOLVERS[solver](counted, start)
        ended = getattr(ended, "message", ended)  # of SciPy
    except Exhausted:
        ended = "evaluations"
    return {
        **{"problem": name, "solver": solver, "variables": len(start)},
        **{"calls": counted.calls, "ended": ended, "improvements": counted.improvements},
    }


def rows_of(path, wanted):
    """The lines of the file, by problem and solver; those that are missing are computed and added."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = {(row["problem"], row["solver"]): row for row in map(json.loads, lines)}
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, (function, start) in sorted(wanted.items(), key=lambda each: (len(each[1][1]), each[0])):
        for solver in SOLVERS:
            if (name, solver) not in rows:
                row = rows[name, solver] = solved(name, solver, function, start)
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                lowest = row["improvements"][-1][1] if row["improvements"] else math.nan
                print(f"{name:12} {solver:12} {row['calls']:5} calls, {lowest:.8g}, {row['ended']}", flush=True)
    return {name: {solver: rows[name, solver] for solver in SOLVERS} for name in wanted}


def judged(rows):
    """What each solver made of one problem: `calls` to the level, None where it was not reached."""
    first = next(iter(rows.values()))
    if not first["improvements"] or first["improvements"][0][0] != 1:
        return {"variables": first["variables"], "excluded": "the function is not finite at the start"}
    start, solvers = first["improvements"][0][1], {}
    for group in GROUPS:
        found = {solver: rows[solver] for solver in group if solver in rows}
        lowest = min((row["improvements"][-1][1] for row in found.values()), default=start)
        level = lowest + ACCURACY * (start - lowest)
        solvers |= {solver: _seen(row, level) for solver, row in found.items()}
    return {"variables": first["variables"], "start": start, "solvers": solvers}


def _seen(row, level):
    return {
        "calls": calls_to(level, row["improvements"]),
        "calls_in_all": row["calls"],
        "lowest": row["improvements"][-1][1],
        "ended": row["ended"],
    }


def summary(problems):
    """Shares that are solved, failures by name, and ratios of calls to those of SciPy."""
    counted = {name: each["solvers"] for name, each in problems.items() if "excluded" not in each}
    shares, failures, ratios = {}, {}, {}
    for solver in SOLVERS:
        failures[solver] = [name for name, solvers in counted.items() if solvers[solver]["calls"] is None]
        shares[solver] = 1 - len(failures[solver]) / len(counted)
    for solver, theirs in THEIRS.items():
        both = [(s[solver]["calls"], s[theirs]["calls"]) for s in counted.values()]
        each = [one / other for one, other in both if one and other]
        quartiles = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else 3 * each
        ratios[solver] = {"problems": len(each), **dict(zip(("lower", "median", "upper"), quartiles, strict=True))}
    holds = {
        solver: {
            "share": shares[solver] >= shares[theirs] - BOUNDS["share_below_theirs"],
            "calls": ratios[solver]["median"] <= BOUNDS["median_ratio"],
        }
        for solver, theirs in THEIRS.items()
    }
    excluded = {name: each["excluded"] for name, each in problems.items() if "excluded" in each}
    return {
        **{"problems": len(counted), "excluded": excluded, "solved": shares, "failed": failures},
        **{"theirs": THEIRS, "calls_to_theirs": ratios, "bounds": BOUNDS, "holds": holds},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="problems; all, if none is named, and then the result is written")
    parser.add_argument("--rows", type=pathlib.Path, default=pathlib.Path("runs", "cutest.jsonl"))
    given = parser.parse_args()
    every = problems()
    unknown = [name for name in given.names if name not in every]
    if unknown:
        parser.error(f"no unconstrained problem of at most {LARGEST_SIZE} variables: {', '.join(unknown)}")
    wanted = {name: every[name] for name in given.names or every}
    each = {name: judged(rows) for name, rows in rows_of(given.rows, wanted).items()}
    found = summary(each)
    print(json.dumps(found, indent=2))
    if not given.names:
        settings = {"history": HISTORY, "evaluations": MOST, "accuracy": ACCURACY}
        settings |= {name: importlib.metadata.version(name) for name in ("sif2jax", "scipy")}
        write("cutest", {"settings": settings, **found, "each": each})


if __name__ == "__main__":
    main()
