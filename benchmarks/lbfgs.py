"""L-BFGS in `compile` and `fit` beside SciPy's L-BFGS-B and torch.optim.LBFGS, on networks, in float64.

Softmax regression and the group-normalised network on the training part of the digits, and a tanh network 3×20 on 2,000
points, each from ten starts, with the same weights for all. What counts is after how many evaluations of loss and
gradient the loss is at a target for the first time; the history is 10. Ours is trained in one batch, many passes in a
call. SciPy evaluates the same Keras model, compiled as one would by hand; so does torch.optim.LBFGS, with its own
"strong_wolfe" search.

Where Keras is on torch, seconds are compared too: of an evaluation, in calls of many from the same start, ours in the
epochs of one `fit`, without the first call of each; and to the target, as evaluations times seconds of one.
torch.optim.LBFGS has a closure of the same Keras model, and "alone" one of the same network from modules and losses of
torch, which know nothing of Keras.

    python -m benchmarks.lbfgs
    KERAS_BACKEND=jax python -m benchmarks.lbfgs
    KERAS_BACKEND=torch python -m benchmarks.lbfgs
"""

import contextlib
import importlib.util
import math
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from scipy import optimize

from benchmarks.counted import Counted, Exhausted, calls_to
from benchmarks.functions import float64
from benchmarks.passes import Clock
from benchmarks.record import write
from callbacks import FullBatch
from custom_optimizers import LBFGS
from recipes.data import load
from recipes.models import groupnorm

BACKEND = keras.backend.backend()
HAS_TORCH = importlib.util.find_spec("torch") is not None
HISTORY, STARTS = 10, 10
CALLS = 3  # of many evaluations, of which the seconds are taken, after one that does not count


def softmax():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])


def tanh():
    hidden = [keras.layers.Dense(20, "tanh") for _ in range(3)]
    return keras.Sequential([keras.Input((2,)), *hidden, keras.layers.Dense(1)])


def digits():
    x, y = load("digits", shape=(8, 8, 1)).train
    return x.astype("float64"), y.astype("int32")


def points():
    x = np.random.default_rng(0).random((2000, 2))
    return x, np.sin(3 * x[:, :1]) * x[:, 1:]


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NETWORKS = {  # network, data, loss, targets of the training loss, evaluations at most, passes of a call
    "softmax regression": (softmax, digits, CROSS_ENTROPY, (0.1, 1e-3), 160, 80),
    "group-normalised network": (lambda: groupnorm((8, 8, 1), 10), digits, CROSS_ENTROPY, (0.1, 1e-3), 60, 30),
    "tanh regression": (tanh, points, keras.losses.MeanSquaredError(), (1e-3, 1e-4, 1e-5), 800, 400),
}


def made(name, seed):
    """`(model, x, y, loss)` of a network and a start."""
    make, data, loss, *_ = NETWORKS[name]
    keras.utils.set_random_seed(seed)
    return make(), *data(), loss


def fitted(name, seed, epochs, callbacks=()):
    """`FullBatch` after a `fit` of L-BFGS in one batch."""
    (model, x, y, loss), call = made(name, seed), NETWORKS[name][-1]
    model.compile(LBFGS(HISTORY), loss)
    full = FullBatch(passes_per_epoch=call)
    model.fit(x, y, batch_size=len(x), epochs=epochs, shuffle=False, verbose=0, callbacks=[full, *callbacks])
    return full


class FromTheStart(keras.callbacks.Callback):
    """Lets each epoch begin with the weights of the first, and with a new search."""

    def on_train_begin(self, logs=None):
        self._start = self.model.get_weights()

    def on_epoch_begin(self, epoch, logs=None):
        self.model.set_weights(self._start)
        self.model.optimizer.search.begin()


def loss_and_gradient(model, x, y, loss):
    """`(function, start)` for SciPy: a function of all weights as one vector, compiled, and the weights."""
    weights = model.trainable_variables
    start = np.concatenate([np.ravel(keras.ops.convert_to_numpy(each)) for each in weights]).astype("float64")
    shapes = [tuple(each.shape) for each in weights]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    evaluate = EVALUATE[BACKEND](model, x, y, loss)

    def function(vector):
        parts = [part.reshape(shape) for part, shape in zip(np.split(vector, ends), shapes, strict=True)]
        value, gradients = evaluate(parts)
        return float(value), np.concatenate([np.ravel(each) for each in gradients]).astype("float64")

    return function, start


def on_jax(model, x, y, loss):
    import jax

    def of(weights):
        return loss(y, model.stateless_call(weights, [], x)[0])

    evaluate = jax.jit(jax.value_and_grad(of))
    return lambda parts: jax.device_get(evaluate(parts))


def on_tensorflow(model, x, y, loss, jit_compile=False):
    import tensorflow as tf

    weights, x, y = model.trainable_variables, tf.constant(x), tf.constant(y)

    @tf.function(jit_compile=jit_compile)
    def evaluate(parts):
        for weight, part in zip(weights, parts, strict=True):
            weight.assign(part)
        with tf.GradientTape() as tape:
            value = loss(y, model(x))
        return value, tape.gradient(value, [weight.value for weight in weights])

    def of(parts):
        value, gradients = evaluate([tf.constant(part) for part in parts])
        return value.numpy(), [each.numpy() for each in gradients]

    return of


def on_torch(model, x, y, loss):
    import torch

    x, y = torch.tensor(x), torch.tensor(y)
    weights = [weight.value for weight in model.trainable_variables]

    def of(parts):
        with torch.no_grad():
            torch._foreach_copy_(weights, [torch.from_numpy(part) for part in parts])
        value = loss(y, model(x))
        return value.detach().numpy(), [each.numpy() for each in torch.autograd.grad(value, weights)]

    return of


EVALUATE = {"jax": on_jax, "tensorflow": on_tensorflow, "torch": on_torch}


def of_scipy(function, start):
    """SciPy's L-BFGS-B; with `ftol=0` it ends only where the value has not changed by a bit."""
    options = {"maxcor": HISTORY, "ftol": 0, "gtol": 0, "maxiter": 10**6, "maxfun": 10**6}
    optimize.minimize(function, start, jac=True, method="L-BFGS-B", options=options)


def of_torch(function, start):
    """torch.optim.LBFGS of a function as SciPy takes it."""
    import torch

    point = torch.nn.Parameter(torch.tensor(start))

    def closure():
        value, gradient = function(point.detach().numpy())
        point.grad = torch.tensor(gradient)
        return torch.tensor(value, dtype=torch.float64)

    torch_lbfgs([point], 10**6).step(closure)


def torch_lbfgs(parameters, most):
    import torch

    return torch.optim.LBFGS(
        **{"params": parameters, "lr": 1, "max_iter": 10**6, "max_eval": most, "history_size": HISTORY},
        **{"tolerance_grad": 0, "tolerance_change": 0, "line_search_fn": "strong_wolfe"},
    )


def improvements_of(method, name, seed, most):
    """What another method sees: `(evaluations, loss)` wherever the loss is lower than before."""
    function, start = loss_and_gradient(*made(name, seed))
    counted = Counted(function, most)
    with contextlib.suppress(Exhausted):
        method(counted, start)
    return counted.improvements


def evaluations(name, seed):
    """`{method: evaluations to each target}` from one start; None for a target that was not reached."""
    *_, targets, most, call = NETWORKS[name]
    lowest = np.minimum.accumulate(fitted(name, seed, -(-most // call)).trace["loss"])
    found = {"ours": [(i + 1, float(each)) for i, each in enumerate(lowest)]}
    found["scipy"] = improvements_of(of_scipy, name, seed, most)
    if HAS_TORCH:
        found["torch"] = improvements_of(of_torch, name, seed, most)
    return {method: [calls_to(target, seen) for target in targets] for method, seen in found.items()}


def closures(name, seed):
    """`{method: (parameters, closure)}` for torch.optim.LBFGS: of the Keras model, and of modules of torch alone."""
    import torch

    model, x, y, loss = made(name, seed)
    is_regression = name == "tanh regression"
    x, y = torch.tensor(x), torch.tensor(y) if is_regression else torch.tensor(y).long()
    found = {"torch": _closure(model, loss, x, y)}
    if name != "group-normalised network":
        function = torch.nn.functional.mse_loss if is_regression else torch.nn.functional.cross_entropy
        module = torch.nn.Sequential(torch.nn.Flatten(), *_linear(model, torch.nn.Tanh))
        found["torch alone"] = _closure(module, lambda y, output: function(output, y), x, y)
    return found


def _closure(module, loss, x, y):
    parameters = [each for each in module.parameters() if each.requires_grad]

    def closure():
        for each in parameters:
            each.grad = None
        value = loss(y, module(x))
        value.backward()
        return value

    return parameters, closure


def _linear(model, activation):
    """The dense layers of a model as modules of torch, with the activation between them."""
    import torch

    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            linear = torch.nn.Linear(*layer.kernel.shape, dtype=torch.float64)
            with torch.no_grad():
                linear.weight.copy_(layer.kernel.value.T)
                linear.bias.copy_(layer.bias.value)
            found += [linear, activation()]
    return found[:-1]


def seconds(name, seed):
    """`{method: seconds of an evaluation}` from one start, on torch, one after the other: medians of some calls."""
    call, clock = NETWORKS[name][-1], Clock()
    full = fitted(name, seed, CALLS + 2, [FromTheStart(), clock])  # no epoch begins after the last one
    assert len(full.trace["loss"]) == (CALLS + 2) * call  # no search has ended before
    mine = np.diff(clock.starts)[1:] / call
    theirs = {method: _seconds_of_torch(*each, call) for method, each in closures(name, seed).items()}
    return {"ours": statistics.median(mine), **theirs}


def _seconds_of_torch(parameters, closure, call):
    import torch

    start, found = [each.detach().clone() for each in parameters], []
    for _ in range(CALLS + 1):
        with torch.no_grad():
            torch._foreach_copy_(parameters, start)
        optimizer, before = torch_lbfgs(parameters, call), time.perf_counter()
        optimizer.step(closure)
        seconds = time.perf_counter() - before
        found.append(seconds / optimizer.state[parameters[0]]["func_evals"])
    return statistics.median(found[1:])


def compared(name):
    """One network: evaluations to each target from each start, and their ratios."""
    *_, targets, _, _ = NETWORKS[name]
    rows = []
    for seed in range(STARTS):
        row = {"evaluations": evaluations(name, seed)}
        if BACKEND == "torch":
            row["seconds"] = seconds(name, seed)
        print(f"{name}, start {seed}: {row}", flush=True)
        rows.append(row)
    others = [method for method in rows[0]["evaluations"] if method != "ours"]
    found = {
        f"evaluations beside {other}": {str(t): _ratio(rows, other, i) for i, t in enumerate(targets)}
        for other in others
    }
    for other in [method for method in rows[0].get("seconds", ()) if method != "ours"]:
        of_one = statistics.geometric_mean(row["seconds"]["ours"] / row["seconds"][other] for row in rows)
        by_target = found["evaluations beside torch"].items()
        to_target = {target: each["ratio"] and each["ratio"] * of_one for target, each in by_target}
        found[f"seconds beside {other}"] = {"of an evaluation": of_one, **to_target}
    print(f"{name}: {found}", flush=True)
    return {**found, "starts": rows}


def _ratio(rows, other, i):
    """The geometric mean over the starts from which both reach a target, and from how many each does."""
    pairs = [(row["evaluations"]["ours"][i], row["evaluations"][other][i]) for row in rows]
    reached = {"ours": sum(a is not None for a, _ in pairs), other: sum(b is not None for _, b in pairs)}
    both = [a / b for a, b in pairs if a is not None and b is not None]
    return {"ratio": statistics.geometric_mean(both) if both else None, "reached": reached}


def main():
    with float64():
        networks = {name: compared(name) for name in NETWORKS}
    write(f"lbfgs_{BACKEND}", {"history": HISTORY, "networks": networks})


if __name__ == "__main__":
    main()
