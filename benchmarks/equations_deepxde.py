"""The recipes of differential equations beside DeepXDE on its PyTorch backend: equal networks, points and seconds.

Each equation from several seeds, in turns: ours trains for some seconds, then each contender of DeepXDE for as many, in
a process of its own, from the same weights of the same network, on the same points, in float64. All begin with 500
updates of Adam; then ours goes on with self-scaled Broyden, and DeepXDE with its L-BFGS or its NNCG, whose damping is
the best of several for each equation, on a seed that does not count. Ours is on TensorFlow with XLA, and the time in
which it compiles counts. Told are the error after equal seconds, and after how many evaluations of the loss ours has
the error that each contender ends with.

    python -m benchmarks.equations_deepxde .venv-peers/bin/python
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

from benchmarks.equations import ADAM, CALL, EQUATIONS
from benchmarks.record import write
from callbacks import FullBatch
from recipes import physics

SECONDS, SEARCHED, SEEDS = 30, 9, (0, 1, 2, 3, 4)
DAMPINGS, PRODUCTS = (1e-1, 1e-3, 1e-5), 100  # of NNCG, whose conjugate gradients have as many products at most
SOLVER = pathlib.Path(__file__).with_name("deepxde_solver.py")


class Clock(keras.callbacks.Callback):
    """Keeps the weights after each call of many passes, and ends the training when its seconds are over."""

    def __init__(self, seconds):
        super().__init__()
        self.rows, self._seconds, self._evaluations = [], seconds, 0

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter() - self._start
        self._evaluations += int(logs["evaluations"])
        self.rows.append((now, self._evaluations, self.model.get_weights()))
        self.model.stop_training = now > self._seconds


def ours(recipe, data, seconds):
    """`[(seconds, evaluations, error)]` after each call of many passes."""
    model, clock = recipe.model(data), Clock(seconds)
    full = FullBatch(passes_per_epoch=CALL)
    model.fit(recipe.batches(data), epochs=10**6, shuffle=False, verbose=0, callbacks=[full, clock])
    found = []
    for now, evaluations, weights in clock.rows:
        model.set_weights(weights)
        found.append((now, evaluations, physics.judged(recipe, recipe.trained(model, None)).figures["error"]))
    return found


def task_of(recipe, data):
    """What DeepXDE is given: points, weights to begin with, the grid and the reference on it."""
    model = recipe.model(data)
    axes = [np.linspace(*ends, n) for ends, n in zip(recipe.domain.values(), recipe.grid, strict=True)]
    mesh = np.meshgrid(*axes, indexing="ij")
    low, high = zip(*recipe.domain.values(), strict=True)
    return {
        "equation": recipe.name(),
        "points": data.train,
        "low": low,
        "high": high,
        "grid": np.stack([each.ravel() for each in mesh], axis=1),
        "reference": np.ravel(recipe.reference(*mesh)),
        "rate": recipe.learning_rate,
        "adam": ADAM,
        "width": recipe.width,
        "depth": recipe.depth,
        **{f"weight_{i}": weight for i, weight in enumerate(model.get_weights())},
    }


def theirs(python, task, seconds, method, damping=0.1):
    """The same of DeepXDE, in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        path, out = (os.path.join(directory, name) for name in ("task.npz", "found.npz"))
        np.savez(path, **task, seconds=seconds, method=method, damping=damping, products=PRODUCTS)
        subprocess.run([python, SOLVER, path, out], check=True, capture_output=True)
        with np.load(out) as found:
            return [
                (float(now), int(evaluations), float(error))
                for now, evaluations, error in zip(found["seconds"], found["evaluations"], found["errors"], strict=True)
            ]


def compared(cls, python):
    """The traces of each contender on one equation, and the damping that NNCG is given."""
    searched = cls(seed=SEARCHED)
    task = task_of(searched, searched.load())
    ends = {each: theirs(python, task, SECONDS, "NNCG", each)[-1][2] for each in DAMPINGS}
    damping, traces = min(ends, key=ends.get), []
    for seed in SEEDS:
        recipe = cls(seed=seed)
        data = recipe.load()
        task = task_of(recipe, data)
        traces.append(
            {
                "ours": ours(recipe, data, SECONDS),
                "L-BFGS": theirs(python, task, SECONDS, "L-BFGS"),
                "NNCG": theirs(python, task, SECONDS, "NNCG", damping),
            }
        )
    return {"dampings": {str(each): end for each, end in ends.items()}, "damping": damping, **summary(traces)}


def summary(traces):
    """Medians over the seeds: error after equal seconds, evaluations, and those of ours to the others' last error."""
    found = {}
    for name in traces[0]:
        ends = [trace[name][-1] for trace in traces]
        found[name] = {
            "errors": [end[2] for end in ends],
            "error": statistics.median(end[2] for end in ends),
            "evaluations": statistics.median(end[1] for end in ends),
            "evaluations_of_ours": [to(trace["ours"], trace[name][-1][2]) for trace in traces],
        }
    return {"contenders": found, "traces": traces}


def to(trace, error):
    """After how many evaluations the error was as low; None if it never was."""
    return next((evaluations for _, evaluations, each in trace if each <= error), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("python", help="that of an environment with DeepXDE and torch")
    python = parser.parse_args().python
    found = {}
    for name, cls in EQUATIONS.items():
        found[name] = compared(cls, python)
        print(name, {each: f"{of['error']:.2g}" for each, of in found[name]["contenders"].items()}, flush=True)
    write("equations_deepxde", {"seconds": SECONDS, "equations": found})


if __name__ == "__main__":
    main()
