"""What an update of BFGS and of self-scaled Broyden costs: 921 parameters, 2,000 points, in float64.

A tanh network 3×20, which is fitted to values ("regression") or solves Burgers' equation by the square of its residual
("equation"); there an evaluation carries three derivatives through the network. A pass, many of them in a call, stands
beside an evaluation of loss and gradient as one would write it by hand, and beside a pass of `NonlinearCG`, which does
the same but for the matrix. TensorFlow is measured as Keras compiles by default, and with XLA.

What the matrix costs by itself is measured where an evaluation is next to nothing: Rosenbrock's function of as many
variables, and of 4,000, whose matrix of 128 MB is in no cache. By how much a pass is longer than one of `NonlinearCG`
stands beside the memory traffic of a matrix that is read twice and written once: by NumPy, whose product with a vector
takes all cores.

All in turn, and ratios are taken within a round.

    python -m benchmarks.dense_update
    KERAS_BACKEND=jax python -m benchmarks.dense_update
    KERAS_BACKEND=torch python -m benchmarks.dense_update
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import ops

from benchmarks.functions import Output, Value, float64, rosenbrock
from benchmarks.lbfgs import BACKEND, EVALUATE, points, tanh
from benchmarks.passes import Clock
from benchmarks.record import ratios, write
from callbacks import FullBatch
from custom_optimizers import BFGS, NonlinearCG, SelfScaledBroyden

ROUNDS, CALLS = 5, 3  # calls of many passes in a round, after one that does not count
PASSES = 100
SIZES = {921: 100, 4000: 10}  # variables, passes in a call
VISCOSITY = 0.01 / np.pi
DENSE = "BFGS", "SelfScaledBroyden"
CONTENDERS = {"BFGS": BFGS, "SelfScaledBroyden": SelfScaledBroyden, "NonlinearCG": NonlinearCG}
EXECUTIONS = {"": "auto"} | ({" with XLA": True} if BACKEND == "tensorflow" else {})  # `jit_compile`


class Carried(keras.layers.Layer):
    """A dense layer that carries values and their derivatives by x, by t, and twice by x: four tensors."""

    def __init__(self, units, is_last=False):
        super().__init__()
        self._units, self._is_last = units, is_last

    def build(self, shapes):
        self.kernel = self.add_weight(shape=(shapes[0][-1], self._units), name="kernel")
        self.bias = self.add_weight(shape=(self._units,), initializer="zeros", name="bias")

    def call(self, carried):
        h, by_x, by_t, by_xx = (ops.einsum("ab,bc->ac", each, self.kernel) for each in carried)
        if self._is_last:
            return h + self.bias, by_x, by_t, by_xx
        h = ops.tanh(h + self.bias)
        slope = 1 - h * h
        return h, slope * by_x, slope * by_t, slope * by_xx - 2 * h * slope * by_x * by_x


class Residual(keras.Model):
    """The residual of Burgers' equation at points (x, t), as large as its square is a mean over the points."""

    def __init__(self, count):
        super().__init__()
        self._layers_of_network = [Carried(20), Carried(20), Carried(20), Carried(1, is_last=True)]
        self._count = count

    def call(self, points):
        zero = ops.zeros_like(points)
        units = [zero + ops.convert_to_tensor(np.array([unit], "float64")) for unit in ((1, 0), (0, 1))]
        carried = points, *units, zero
        for layer in self._layers_of_network:
            carried = layer(carried)
        u, by_x, by_t, by_xx = carried
        return (by_t + u * by_x - VISCOSITY * by_xx) / np.sqrt(self._count)


class SumOfSquares(keras.losses.Loss):
    """The sum of the squares of what a model gives."""

    def __init__(self):
        super().__init__(reduction="sum")

    def call(self, _, residual):
        return ops.sum(residual * residual, axis=-1)


def equation():
    x = np.random.default_rng(0).random((2000, 2)) * (2, 1) - (1, 0)
    return Residual(len(x)), x, np.zeros((len(x), 1)), SumOfSquares()


def regression():
    return tanh(), *points(), keras.losses.MeanSquaredError()


PROBLEMS = {"regression": regression, "equation": equation}


def made(name):
    """`(model, x, y, loss)`, the model built."""
    keras.utils.set_random_seed(0)
    model, x, y, loss = PROBLEMS[name]()
    model(x[:1])
    return model, x, y, loss


def of_a_pass(problem, optimizer, jit_compile, passes=PASSES):
    """Seconds of a pass in a `fit` of its own: the median over its calls."""
    (model, x, y, loss), clock = problem, Clock()
    model.compile(optimizer, loss, jit_compile=jit_compile)
    full = FullBatch(passes_per_epoch=passes)
    model.fit(x, y, batch_size=len(x), epochs=CALLS + 1, shuffle=False, verbose=0, callbacks=[full, clock])
    return float(statistics.median(np.diff(clock.starts)[1:])) / passes


def of_an_evaluation(name, jit_compile):
    """Seconds of an evaluation by hand: the median over as many as `of_a_pass` makes."""
    model, *about = made(name)
    by_hand = EVALUATE[BACKEND]
    evaluate = by_hand(model, *about, jit_compile=True) if jit_compile is True else by_hand(model, *about)
    parts = [ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    starts = []
    for _ in range(CALLS * PASSES + 2):
        starts.append(time.perf_counter())
        evaluate(parts)
    return float(statistics.median(np.diff(starts)[1:]))


def of_memory(size):
    """Seconds in which NumPy reads a matrix, once with a vector, and reads and writes it."""
    matrix, vector, seconds = np.random.default_rng(0).random((size, size)), np.ones(size), []
    for _ in range(CALLS * SIZES[size]):
        start = time.perf_counter()
        matrix @ vector
        np.multiply(matrix, 1.0, out=matrix)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def compared(name, execution):
    """Seconds of a pass by contender, a list of one a round, and their ratios to those of an evaluation."""
    jit_compile, seconds = EXECUTIONS[execution], {each: [] for each in (*CONTENDERS, "by hand")}
    for _ in range(ROUNDS):
        seconds["by hand"].append(of_an_evaluation(name, jit_compile))
        for each, make in CONTENDERS.items():
            seconds[each].append(of_a_pass(made(name), make(), jit_compile))
    found = {each: ratios(seconds, each, "by hand") for each in CONTENDERS}
    print(f"{name}{execution}, beside an evaluation: {found}", flush=True)
    return {"seconds": seconds, "beside an evaluation": found}


def compared_with_memory(size, execution):
    """The same for passes that are hardly more than the matrix; what it adds to them beside its memory traffic."""
    jit_compile, seconds = EXECUTIONS[execution], {each: [] for each in (*CONTENDERS, "memory")}
    for _ in range(ROUNDS):
        seconds["memory"].append(of_memory(size))
        for each, make in CONTENDERS.items():
            model = keras.Sequential([keras.Input((1,)), Value(rosenbrock, np.zeros(size))])
            problem = model, np.zeros((1, 1)), np.zeros((1, 1)), Output()
            seconds[each].append(of_a_pass(problem, make(), jit_compile, SIZES[size]))
    added = {each: [a - b for a, b in zip(seconds[each], seconds["NonlinearCG"], strict=True)] for each in DENSE}
    found = {each: ratios({**seconds, **added}, each, "memory") for each in DENSE}
    print(f"{size} variables{execution}, beside memory: {found}", flush=True)
    return {"seconds": seconds, "beside memory": found}


def main():
    with float64():
        problems = {f"{name}{each}": compared(name, each) for name in PROBLEMS for each in EXECUTIONS}
        matrices = {f"{size}{each}": compared_with_memory(size, each) for size in SIZES for each in EXECUTIONS}
        about = {"parameters": made("regression")[0].count_params(), "samples": 2000}
    write(f"dense_update_{BACKEND}", {**about, "problems": problems, "matrices": matrices})


if __name__ == "__main__":
    main()
