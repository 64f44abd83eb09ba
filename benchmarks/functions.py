"""Searches in `compile` and `fit` beside SciPy's BFGS, L-BFGS-B and CG, on the functions of optax's tests, in float64.

Each function is the output of a layer whose weights are the point, and the loss is the output. The starts are those of
optax's tests, a bad start and a steep objective among them. Ours has at most 500 passes, and ends when the gradient's
norm is at most 1e-8, or where it finds no lower point. SciPy has the same bound for the largest entry, and exact
gradients. What counts is the number of evaluations until the value is within 1e-5 of the lowest one that SciPy or ours
has found. Eggholder has many minima, and each method finds its own: there it is that of the method itself.

The summary has, for each method of ours, the share of functions that it solves and that its counterpart of SciPy does,
and how many times as many evaluations it takes where both do. SciPy's own results are judged as ours are.

    python -m benchmarks.functions
    KERAS_BACKEND=jax python -m benchmarks.functions
    KERAS_BACKEND=torch python -m benchmarks.functions
"""

import contextlib
import importlib
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import ops
from scipy import optimize

from benchmarks.counted import Counted, calls_to
from benchmarks.record import write
from callbacks import FullBatch, StopOnConvergence
from custom_optimizers import BFGS, LBFGS, NonlinearCG, SelfScaledBroyden

BACKEND = keras.backend.backend()
ACCURACY, SMALL_GRADIENT = 1e-5, 1e-6  # units of the function; a norm at which a point is a minimum
ENDS_AT = 1e-8  # norm of the gradient
PASSES, EPOCHS = 10, 50  # of an epoch, between two looks at the norm of the gradient
MOST = 10_000  # evaluations of SciPy
METHODS = ("BFGS", "L-BFGS-B", "CG")  # of SciPy
OURS = {  # what makes the optimizer; its counterpart
    "strong_wolfe": (lambda: LBFGS(line_search="strong_wolfe"), "L-BFGS-B"),
    "hager_zhang": (lambda: LBFGS(line_search="hager_zhang"), "L-BFGS-B"),
    "bfgs": (BFGS, "BFGS"),
    "nonlinear_cg": (NonlinearCG, "CG"),
    "self_scaled_broyden": (SelfScaledBroyden, "BFGS"),
}
BOUNDS = {"share_below_theirs": 0.02, "median_ratio": 1.1}
TINY = 1e-100  # imaginary step of a derivative, whose square is nothing beside 1


def rosenbrock(x, np):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def himmelblau(x, np):
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def matyas(x, np):
    return 0.26 * (x[0] ** 2 + x[1] ** 2) - 0.48 * x[0] * x[1]


def zakharov(x, np):
    total = sum((i + 1) / 2 * x[i] for i in range(x.shape[0]))
    return np.sum(x**2) + total**2 + total**4


def eggholder(x, np):
    def root(value):  # of its absolute value; as a square root of the square it has a derivative along imaginary steps
        return np.sqrt(np.sqrt(value**2))

    return -(x[1] + 47) * np.sin(root(x[0] / 2 + x[1] + 47)) - x[0] * np.sin(root(x[0] - x[1] - 47))


def steep(x, np):
    return np.sum((1e4 * x) ** 2) / x.shape[0]


FUNCTIONS = {  # function of a point and a module with `sum`, `sin`, ...; the start
    "rosenbrock": (rosenbrock, [0, 0]),
    "himmelblau": (himmelblau, [1, 1]),
    "himmelblau, a bad start": (himmelblau, [92, 0.001]),
    "matyas": (matyas, [6, 6]),
    "zakharov": (zakharov, [600, 700, 200, 100, 90, 1e3]),
    "steep": (steep, [1, 1]),
    "eggholder": (eggholder, [6, 6]),
}
HAVE_MANY_MINIMA = ("eggholder",)


class Value(keras.layers.Layer):
    """A layer whose weights are a point and whose output is the value of a function there, for each sample."""

    def __init__(self, function, start):
        super().__init__()
        self._function, self._start = function, np.asarray(start, "float64")

    def build(self, shape):
        self.point = self.add_weight(shape=self._start.shape, initializer="zeros", name="point")
        self.point.assign(self._start)

    def call(self, x):
        return 0 * x + self._function(ops.convert_to_tensor(self.point), functions_of_tensors())


class Output(keras.losses.Loss):
    """The sum of what a model puts out: of one sample its value, which Keras's mean would round on torch."""

    def __init__(self):
        super().__init__(reduction="sum")

    def call(self, y_true, y_pred):
        return y_pred


def functions_of_tensors():
    """A module with `sum`, `sin` and `sqrt`; Keras 3.15 computes sines in float32 on JAX."""
    return importlib.import_module("jax.numpy") if keras.backend.backend() == "jax" else ops


def value_and_gradient(function):
    """The function for SciPy: the derivatives are exact, by steps along the imaginary axis."""

    def of(x):
        steps = TINY * 1j * np.eye(len(x))
        return function(x, np), np.array([function(x + step, np).imag / TINY for step in steps])

    return of


def fitted(name, method="strong_wolfe", epochs=EPOCHS):
    """What a method of ours finds: the value, the norm of its gradient, and the value of each evaluation."""
    function, start = FUNCTIONS[name]
    model = keras.Sequential([keras.Input((1,)), Value(function, start)])
    model.compile(OURS[method][0](), Output())
    full, stop = FullBatch(passes_per_epoch=PASSES), StopOnConvergence(gradient_norm=ENDS_AT)
    zero = np.zeros((1, 1), keras.config.floatx())
    model.fit(zero, zero, epochs=epochs, verbose=0, callbacks=[full, stop])
    value, gradient = value_and_gradient(function)(np.asarray(model.get_weights()[0], "float64"))
    values = np.minimum.accumulate(full.trace["loss"])
    improvements = [(i + 1, float(each)) for i, each in enumerate(values) if i == 0 or each < values[i - 1]]
    norm = float(np.linalg.norm(gradient))
    return {"value": float(value), "norm": norm, "calls": len(values), "improvements": improvements}


def of_scipy(name, method):
    """What SciPy finds, in the same form."""
    function, start = FUNCTIONS[name]
    counted = Counted(value_and_gradient(function), MOST)
    options = {"gtol": ENDS_AT} | ({"maxcor": 10, "ftol": 0} if method == "L-BFGS-B" else {})
    found = optimize.minimize(counted, np.array(start, "float64"), jac=True, method=method, options=options)
    norm = float(np.linalg.norm(found.jac))
    return {"value": float(found.fun), "norm": norm, "calls": counted.calls, "improvements": counted.improvements}


def compared(name):
    """All methods on one function, and whether each is as good as it has to be."""
    found = {each: fitted(name, each) for each in OURS} | {each: of_scipy(name, each) for each in METHODS}
    lowest = min(each["value"] for each in found.values())
    start = found[METHODS[0]]["improvements"][0][1]
    for each in found.values():
        level = (each["value"] if name in HAVE_MANY_MINIMA else lowest) + ACCURACY
        each["evaluations"] = calls_to(level, each.pop("improvements"))
    theirs = min(found[method]["value"] for method in METHODS)
    holds = {method: is_good(name, each, theirs, start) for method, each in found.items()}
    said = [f"{method} {each['evaluations']} to {each['value']:.3g}" for method, each in found.items()]
    print(f"{name}: {', '.join(said)}; {holds}", flush=True)
    return {"start": start, "holds": holds, **found}


def is_good(name, found, theirs, start):
    """Whether a value is as low as that of SciPy; where there are many minima, whether it is one of them."""
    if name in HAVE_MANY_MINIMA:
        return found["norm"] <= SMALL_GRADIENT and found["value"] <= start
    return found["value"] <= theirs + ACCURACY


def summary(functions):
    """Each method of ours beside its counterpart: shares that are solved, ratios of evaluations, what holds."""
    found = {}
    for method, (_, other) in OURS.items():
        shares = [statistics.mean(each["holds"][one] for each in functions.values()) for one in (method, other)]
        both = [each for each in functions.values() if each["holds"][method] and each["holds"][other]]
        each = [of[method]["evaluations"] / of[other]["evaluations"] for of in both]
        ratio = statistics.median(each) if each else None
        holds = {
            "share": shares[0] >= shares[1] - BOUNDS["share_below_theirs"],
            "calls": ratio is not None and ratio <= BOUNDS["median_ratio"],
        }
        found[method] = {
            **{"beside": other, "solved": shares[0], "solved_by_other": shares[1]},
            **{"functions": len(each), "median_ratio": ratio, "largest_ratio": max(each, default=None)},
            "holds": holds,
        }
        print(f"{method}: {found[method]}", flush=True)
    return found


@contextlib.contextmanager
def float64():
    """Context in which models are made and trained in float64."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        with importlib.import_module("jax").enable_x64(True) if BACKEND == "jax" else contextlib.nullcontext():
            yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def main():
    with float64():
        functions = {name: compared(name) for name in FUNCTIONS}
    found = {"accuracy": ACCURACY, "bounds": BOUNDS, "summary": summary(functions), "functions": functions}
    write(f"functions_{BACKEND}", found)


if __name__ == "__main__":
    main()
