"""Self-scaled Broyden beside SciPy's L-BFGS-B and BFGS on the recipes of differential equations, at equal evaluations.

Each equation from five seeds: of the network and of its points. 500 updates of Adam come first, the same for all. Then
each method has 2,400 evaluations of the loss and its gradient over all points, from the same weights, in float64. SciPy
evaluates the same compiled Keras model; where it stops early it is started anew from where it is, and of all that it
has evaluated the weights of the lowest loss are judged. L-BFGS-B keeps 50 pairs. What counts is the error of the
solution relative to the reference, in the L2 norm, as the recipe's own `judge` has it.

    python -m benchmarks.equations
"""

import contextlib
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from scipy import optimize

from benchmarks.counted import Counted, Exhausted
from benchmarks.lbfgs import on_tensorflow
from benchmarks.record import write
from callbacks import FullBatch
from recipes import physics
from recipes.allen_cahn import AllenCahn
from recipes.burgers import Burgers
from recipes.helmholtz import Helmholtz

EQUATIONS = {"burgers": Burgers, "helmholtz": Helmholtz, "allen_cahn": AllenCahn}
SEEDS = range(5)
ADAM, EVALUATIONS, CALL = 500, 2400, 100
PAIRS = 50  # of L-BFGS-B
SETTINGS = {}  # of the recipes, that are not as usual
ENDLESS = 10**9


def fitted(recipe, data, start=None):
    """A model after the training of a recipe, without what a run adds to it."""
    model = recipe.model(data)
    if start is not None:
        model.set_weights(start)
    full = FullBatch(passes_per_epoch=recipe.passes_per_epoch)
    model.fit(recipe.batches(data), epochs=recipe.epochs, shuffle=False, verbose=0, callbacks=[full])
    return model


class Lowest:
    """A function of all weights as one vector, whose point of the lowest value is kept."""

    def __init__(self, model, data):
        self._weights = model.trainable_variables
        x, y = data.train, np.zeros((data.train_size, 1))
        self._evaluate = on_tensorflow(model, x, y, physics.SumOfSquares(data.train_size), jit_compile=True)
        self.lowest, self.point = np.inf, None

    def parts(self, vector):
        shapes = [tuple(each.shape) for each in self._weights]
        ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(vector, ends), shapes, strict=True)]

    def __call__(self, vector):
        value, gradients = self._evaluate(self.parts(vector))
        if value < self.lowest:
            self.lowest, self.point = float(value), vector.copy()
        return float(value), np.concatenate([np.ravel(each) for each in gradients])


def of_scipy(method, options, model, data, start, evaluations):
    """The weights with which a method of SciPy has had the lowest loss."""
    function = Lowest(model, data)
    counted, point = Counted(function, evaluations), np.concatenate([np.ravel(each) for each in start])
    with contextlib.suppress(Exhausted):
        while True:
            before = counted.calls
            point = optimize.minimize(counted, point, jac=True, method=method, options=options).x
            if counted.calls - before <= 2:  # started anew it finds nothing any more
                break
    return function.parts(function.point)


METHODS = {
    "L-BFGS-B": {"maxcor": PAIRS, "ftol": 0, "gtol": 0, "maxiter": ENDLESS, "maxfun": ENDLESS, "maxls": 50},
    "BFGS": {"gtol": 0, "maxiter": ENDLESS},
}


def errors_of(cls, seed):
    """`{method: error}` of one seed, that after Adam alone among them."""
    given = {"seed": seed, "passes_per_epoch": CALL, **SETTINGS}
    first = cls(optimizer="accumulate:adam", epochs=ADAM // CALL, **given)
    data = first.load()
    start = fitted(first, data).get_weights()
    ours = cls(optimizer="self_scaled_broyden", epochs=EVALUATIONS // CALL, **given)
    model = ours.model(data)
    weights = {"Adam": start, "SelfScaledBroyden": fitted(ours, data, start).get_weights()}
    for method, options in METHODS.items():
        weights[method] = of_scipy(method, options, model, data, start, EVALUATIONS)
    return {method: error_with(ours, model, found) for method, found in weights.items()}


def error_with(recipe, model, weights):
    model.set_weights(weights)
    return physics.judged(recipe, recipe.trained(model, None)).figures["error"]


def main():
    found = {}
    for name, cls in EQUATIONS.items():
        errors = [errors_of(cls, seed) for seed in SEEDS]
        by_method = {method: [each[method] for each in errors] for method in errors[0]}
        medians = {method: statistics.median(each) for method, each in by_method.items()}
        found[name] = {"errors": by_method, "medians": medians}
        print(name, {method: f"{each:.2g}" for method, each in medians.items()}, flush=True)
    write("equations", {"adam": ADAM, "evaluations": EVALUATIONS, "seeds": len(SEEDS), "equations": found})


if __name__ == "__main__":
    main()
