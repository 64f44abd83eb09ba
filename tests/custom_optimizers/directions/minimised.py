"""Functions of many variables, and what a direction is told while they are minimised, in float64 by NumPy alone."""

import dataclasses
import itertools

import numpy as np
from scipy import optimize

from custom_optimizers.line_search import StrongWolfe
from custom_optimizers.minimizer import Minimizer


@dataclasses.dataclass
class Update:
    """An update: the gradient after it, the step, the change of the gradient, the next direction, and the state."""

    gradient: np.ndarray
    step: np.ndarray
    change: np.ndarray
    along: np.ndarray
    state: dict  # that of the direction, which the next update changes in place


def rosenbrock(size):
    """`(function, start)`: the function gives a value and a gradient."""
    return lambda x: (optimize.rosen(x), optimize.rosen_der(x)), np.resize([-1.2, 1.0], size)


def tanh_network(*units, samples=60):
    """`(function, start)`: the mean squared error of a network as a function of all its weights."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (samples, units[0]))
    y = np.sin(3 * x[:, :1]) * x[:, 1:]
    shapes = [(a + 1, b) for a, b in itertools.pairwise(units)]  # the last row is the bias
    ends = np.cumsum([a * b for a, b in shapes])

    def function(w):
        layers = [part.reshape(shape) for part, shape in zip(np.split(w, ends[:-1]), shapes, strict=True)]
        outputs = [x]
        for i, layer in enumerate(layers):
            sums = outputs[-1] @ layer[:-1] + layer[-1]
            outputs.append(sums if i == len(layers) - 1 else np.tanh(sums))
        error, gradients = outputs[-1] - y, []
        slope = 2 * error / error.size
        for layer, inputs in zip(layers[::-1], outputs[-2::-1], strict=True):
            gradients.append(np.vstack([inputs.T @ slope, slope.sum(axis=0)]).ravel())
            slope = slope @ layer[:-1].T * (1 - inputs**2)  # that of the data themselves is used by nothing
        return (error**2).mean(), np.concatenate(gradients[::-1])

    start = np.concatenate([np.vstack([rng.normal(size=(a - 1, b)) / a**0.5, np.zeros(b)]).ravel() for a, b in shapes])
    return function, start


def updates_of(direction, function, start, most, line_search=None):
    """Minimise a function, and give each `Update`, `most` of them at most, fewer where the search ends before."""
    minimizer = Minimizer(direction, line_search or StrongWolfe(), len(start), "float64")
    state, own, given = minimizer.initial_state(start), direction.next, []

    def watched(before, gradient, step, change, is_taken, has_failed):
        after, along = own(before, gradient, step, change, is_taken, has_failed)
        given[:] = [Update(gradient, step, change, along, after)] if is_taken else []
        return after, along

    direction.next = watched
    with np.errstate(all="ignore"):
        while most and not minimizer.read(state)["reason"]:
            state = minimizer.next(state, *function(minimizer.next_point(state)))
            if given:
                most -= 1
                yield given.pop()
