"""What an update of L-BFGS costs beside its evaluation: 100,000 parameters, history 10, 2,000 samples, in float32.

Two networks: convolutions of 32, 64 and 140 channels with strides on images 16×16×3 (101,582 parameters), and a
perceptron 784–128–10 (101,770), whose evaluation takes so little that an update shows. A pass of `LBFGS`, many passes
in a call, stands beside an evaluation of loss and gradient as one would write it by hand, and beside a pass of
`BatchGD`, whose update is one operation on each weight; in turn, and ratios are taken within a round. For the
perceptron two more are told, SciPy's L-BFGS-B and, on torch, torch.optim.LBFGS; their ratios are of all their seconds
to those that they spend in evaluations.

    python -m benchmarks.lbfgs_update
    KERAS_BACKEND=jax python -m benchmarks.lbfgs_update
    KERAS_BACKEND=torch python -m benchmarks.lbfgs_update
"""

import contextlib
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

from benchmarks.counted import Counted, Exhausted
from benchmarks.lbfgs import BACKEND, CROSS_ENTROPY, EVALUATE, HISTORY, loss_and_gradient, of_scipy, torch_lbfgs
from benchmarks.passes import Clock
from benchmarks.record import ratios, write
from callbacks import FullBatch
from custom_optimizers import LBFGS, BatchGD

SAMPLES, ROUNDS, CALLS = 2000, 5, 3  # calls of many passes in a round, of which the first does not count
EVALUATIONS = 100  # of the others


def convolutions():
    of = [
        layers.Conv2D(width, 3, strides, "same", activation="swish") for width, strides in ((32, 1), (64, 2), (140, 2))
    ]
    return keras.Sequential([keras.Input((16, 16, 3)), *of, layers.GlobalAveragePooling2D(), layers.Dense(10)])


def perceptron():
    return keras.Sequential([keras.Input((784,)), layers.Dense(128, "tanh"), layers.Dense(10)])


NETWORKS = {"convolutions": (convolutions, 4), "perceptron": (perceptron, 20)}  # and the passes of a call


def made(name):
    """`(model, x, y)`: a network and random samples of its shapes."""
    keras.utils.set_random_seed(0)
    model, rng = NETWORKS[name][0](), np.random.default_rng(0)
    x = rng.random((SAMPLES, *model.input_shape[1:])).astype("float32")
    return model, x, rng.integers(0, 10, SAMPLES).astype("int32")


def of_a_pass(name, optimizer):
    """Seconds of a pass in a `fit` of its own: the median over its calls."""
    (model, x, y), passes, clock = made(name), NETWORKS[name][1], Clock()
    model.compile(optimizer, CROSS_ENTROPY)
    full = FullBatch(passes_per_epoch=passes)
    model.fit(x, y, batch_size=SAMPLES, epochs=CALLS + 1, shuffle=False, verbose=0, callbacks=[full, clock])
    return statistics.median(np.diff(clock.starts)[1:]) / passes


def of_an_evaluation(name):
    """Seconds of an evaluation by hand: the median over as many as `of_a_pass` makes."""
    evaluate = EVALUATE[BACKEND](*made(name), CROSS_ENTROPY)
    parts = [keras.ops.convert_to_numpy(weight) for weight in made(name)[0].trainable_variables]
    passes, starts = NETWORKS[name][1], []
    for _ in range((CALLS + 1) * passes + 1):
        starts.append(time.perf_counter())
        evaluate(parts)
    return statistics.median(np.diff(starts)[passes:])


class Timed:
    """A function whose calls are timed; `seconds` is the sum of all calls but the first, since that compiles."""

    def __init__(self, function):
        self._function, self.seconds, self.since = function, 0.0, None

    def __call__(self, *arguments):
        before = time.perf_counter()
        found = self._function(*arguments)
        if self.since is None:
            self.since = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - before
        return found

    def ratio(self):
        """Seconds since the first call, to those within calls."""
        return (time.perf_counter() - self.since) / self.seconds


def ratio_of_scipy():
    """Seconds of SciPy's L-BFGS-B to those of its evaluations."""
    function, start = loss_and_gradient(*made("perceptron"), CROSS_ENTROPY)
    timed = Timed(function)
    with contextlib.suppress(Exhausted):
        of_scipy(Counted(timed, EVALUATIONS), start)
    return timed.ratio()


def ratio_of_torch():
    """Seconds of torch.optim.LBFGS to those of its closure, which is of torch alone."""
    import torch

    _, x, y = made("perceptron")
    x, y = torch.tensor(x), torch.tensor(y).long()
    module = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))

    def closure():
        for each in module.parameters():
            each.grad = None
        value = torch.nn.functional.cross_entropy(module(x), y)
        value.backward()
        return value

    timed = Timed(closure)
    torch_lbfgs(module.parameters(), EVALUATIONS).step(timed)
    return timed.ratio()


def compared(name):
    """Seconds of a pass by contender, a list of one a round, and what an update costs."""
    others = {"scipy": ratio_of_scipy} if name == "perceptron" else {}
    others |= {"torch.optim": ratio_of_torch} if others and BACKEND == "torch" else {}
    seconds, told = {"LBFGS": [], "BatchGD": [], "by hand": []}, {other: [] for other in others}
    for _ in range(ROUNDS):
        seconds["by hand"].append(of_an_evaluation(name))
        seconds["LBFGS"].append(of_a_pass(name, LBFGS(HISTORY)))
        seconds["BatchGD"].append(of_a_pass(name, BatchGD(1e-3)))
        for other, measure in others.items():
            told[other].append(measure())
    beside = {other: ratios(seconds, "LBFGS", other) for other in ("by hand", "BatchGD")}
    told = {other: statistics.median(each) for other, each in told.items()}
    print(f"{name}: {beside}, of others {told}", flush=True)
    parameters = made(name)[0].count_params()
    return {"parameters": parameters, "seconds": seconds, "LBFGS beside": beside, "ratios of others": told}


def main():
    networks = {name: compared(name) for name in NETWORKS}
    write(f"lbfgs_update_{BACKEND}", {"history": HISTORY, "samples": SAMPLES, "networks": networks})


if __name__ == "__main__":
    main()
