"""Which method of full batches takes how many passes to a training loss, and to a test accuracy, in float64.

Softmax regression of the digits and the tanh regression of benchmarks/lbfgs.py, in one batch. Methods with a learning
rate have equal searches: eight rates, half a power of ten apart, each constant and each along a cosine to 0 at the last
pass, all from one start. The pair that reaches the lowest of the loss's levels, and that in the fewest passes, is then
trained from five other starts. Methods without a rate have nothing to search, and are trained from those five alone. A
rate at an end of its eight is told: then there may be better ones beyond.

Counted are passes over the training part, each an evaluation of loss and gradient, whether or not its point is kept,
until the loss is at a level for the first time; and, of the softmax regression, until the accuracy on the test part is,
looked at after every fifth pass. Each training is a line of a file, so an interrupted run goes on where it was.

The seconds of a pass are taken by a run of its own, on a machine that does nothing else, and are added to the results:
of epochs of many passes, without the first ones, each method once in a round.

    python -m benchmarks.full_batch_methods
    python -m benchmarks.full_batch_methods --seconds
"""

import argparse
import functools
import itertools
import json
import math
import os
import pathlib
import statistics
import typing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

from benchmarks.functions import float64
from benchmarks.lbfgs import NETWORKS, FromTheStart, made
from benchmarks.passes import Clock
from benchmarks.record import read, write
from callbacks import FullBatch
from custom_optimizers import (
    BFGS,
    LBFGS,
    Accumulate,
    BatchGD,
    Muon,
    NonlinearCG,
    SelfScaledBroyden,
    SignMomentum,
)
from recipes.data import load

NAME = "full_batch_methods"
SEARCHED, SEEDS = 0, (1, 2, 3, 4, 5)  # the start of the searches, and those of the trainings that count
SCHEDULES = ("constant", "cosine")
STEPS = [10 ** (step / 2) for step in range(8)]  # of the learning rates, times the lowest one
ROUNDS, CALLS = 3, 5  # of seconds, and the epochs of many passes in each


class Problem(typing.NamedTuple):
    """A network of `benchmarks.lbfgs.NETWORKS`, and what is counted on it.

    Args:
        passes: int, of each training.
        call: int, passes of an epoch, behind which the accuracy is looked at.
        levels: tuple of floats, of the training loss, the lowest one last.
        accuracy: float, on the test part; None for a regression.
        rates: dict from methods to the lowest learning rate of their searches.
    """

    passes: int
    call: int
    levels: tuple
    accuracy: float | None
    rates: dict


PROBLEMS = {
    "softmax regression": Problem(
        passes=500,
        call=5,
        levels=(0.1, 0.01, 1e-3),
        accuracy=0.95,
        rates={"descent": 1e-7, "momentum": 1e-7, "Nesterov": 1e-7, "Muon": 1e-5, "sign momentum": 1e-6, "Adam": 1e-5},
    ),
    "tanh regression": Problem(
        passes=4000,
        call=400,
        levels=(1e-3, 1e-4, 1e-5),
        accuracy=None,
        rates={"descent": 1e-3, "momentum": 1e-3, "Nesterov": 1e-3, "Muon": 1e-4, "sign momentum": 1e-6, "Adam": 1e-5},
    ),
}
WITH_A_RATE = {
    "descent": BatchGD,
    "momentum": functools.partial(BatchGD.from_preset, "momentum"),
    "Nesterov": functools.partial(BatchGD.from_preset, "nesterov"),
    "Muon": Muon,
    "sign momentum": SignMomentum,
    "Adam": lambda rate: Accumulate(keras.optimizers.Adam(rate)),
}
WITHOUT = {
    "Barzilai-Borwein": lambda: BatchGD(line_search="barzilai_borwein"),
    "conjugate gradients": NonlinearCG,
    "L-BFGS": LBFGS,
    "BFGS": BFGS,
    "self-scaled Broyden": SelfScaledBroyden,
}


def optimizer_of(method, rate, schedule, passes):
    """A new optimizer; `rate` and `schedule` are None for a method without a rate."""
    if method in WITHOUT:
        return WITHOUT[method]()
    falls = schedule == "cosine"
    return WITH_A_RATE[method](keras.optimizers.schedules.CosineDecay(rate, passes) if falls else rate)


def trained(name, method, seed, rate=None, schedule=None):
    """What one training has seen: passes to each level and to the accuracy, and the lowest loss; a dict."""
    problem, (model, x, y, loss) = PROBLEMS[name], made(name, seed)
    optimizer = optimizer_of(method, rate, schedule, problem.passes)
    model.compile(optimizer, loss, weighted_metrics=[] if problem.accuracy is None else ["accuracy"])
    full = FullBatch(passes_per_epoch=problem.call)
    history = model.fit(
        **{"x": x, "y": y, "batch_size": len(x), "shuffle": False, "verbose": 0, "callbacks": [full]},
        epochs=problem.passes // problem.call,
        validation_data=None if problem.accuracy is None else test_part(),
    ).history
    losses = np.fmin.accumulate(full.trace["loss"])  # what is not a number is no lower loss
    epochs = None if problem.accuracy is None else first(np.array(history["val_accuracy"]) >= problem.accuracy)
    return {
        **{"problem": name, "method": method, "seed": seed, "rate": rate, "schedule": schedule},
        "passes_to": {str(level): first(losses <= level) for level in problem.levels},
        "passes_to_accuracy": epochs and epochs * problem.call,
        **{"lowest": float(losses[-1]), "passes": len(losses)},
    }


@functools.cache
def test_part():
    x, y = load("digits", shape=(8, 8, 1)).test
    return x.astype("float64"), y.astype("int32")


def first(is_there):
    """The place, from 1 on, of the first True; None if there is none."""
    return int(np.argmax(is_there)) + 1 if np.any(is_there) else None


class Rows:
    """Trainings that are lines of a file: what is there is not trained again."""

    def __init__(self, path):
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._rows = {self._key(row): row for row in map(json.loads, lines)}

    @staticmethod
    def _key(row):
        return tuple(row[name] for name in ("problem", "method", "seed", "rate", "schedule"))

    def of(self, *key):
        """The row of a problem, method, seed, rate and schedule; it is trained if it is not there."""
        if key not in self._rows:
            row = self._rows[key] = trained(*key)
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['problem']}, {row['method']}, seed {row['seed']}: {described(row)}", flush=True)
        return self._rows[key]


def described(row):
    rate = "" if row["rate"] is None else f"rate {row['rate']:.3g}, {row['schedule']}, "
    accuracy = "" if row["passes_to_accuracy"] is None else f", to the accuracy {row['passes_to_accuracy']}"
    return f"{rate}lowest {row['lowest']:.2e}, passes to {row['passes_to']}{accuracy}"


def soonest(rows):
    """The row that has reached the lowest level, and that in the fewest passes; of none the one of the lowest loss."""

    def rank(row):
        reached = [passes for passes in row["passes_to"].values() if passes is not None]
        return -len(reached), max(reached, default=0), row["lowest"] if math.isfinite(row["lowest"]) else math.inf

    return min(rows, key=rank)


def compared(name, rows):
    """One problem: what each method takes, medians over the starts; a dict."""
    problem, found = PROBLEMS[name], {}
    for method in (*WITH_A_RATE, *WITHOUT):
        best, about = (None, None), {}
        if method in WITH_A_RATE:
            rates = [float(f"{problem.rates[method] * step:.3g}") for step in STEPS]
            tried = [rows.of(name, method, SEARCHED, *pair) for pair in itertools.product(rates, SCHEDULES)]
            row = soonest(tried)
            best = row["rate"], row["schedule"]
            about = {
                "rate": row["rate"],
                "schedule": row["schedule"],
                "is_at_an_end": row["rate"] in (rates[0], rates[-1]),
            }
        each = [rows.of(name, method, seed, *best) for seed in SEEDS]
        passes = {level: summary([row["passes_to"][level] for row in each]) for level in each[0]["passes_to"]}
        accuracy = (
            {} if problem.accuracy is None else {"accuracy": summary([row["passes_to_accuracy"] for row in each])}
        )
        lowest = statistics.median(row["lowest"] for row in each)
        found[method] = {**about, "lowest": lowest, "passes_to": {**passes, **accuracy}}
    return found


def summary(passes):
    """Their median, None where that was not reached; and all of them."""
    middle = statistics.median(math.inf if each is None else each for each in passes)
    return {"median": None if middle == math.inf else middle, "each": passes}


def seconds_of_a_pass(name, methods):
    """The seconds of a pass by method, in epochs of many: the median over the rounds."""
    seen = {method: [] for method in methods}
    for _, method in itertools.product(range(ROUNDS), methods):
        seen[method].append(_seconds(name, method, methods[method].get("rate")))
        print(f"{name}, {method}: {1000 * seen[method][-1]:.3f} ms a pass", flush=True)
    return {method: statistics.median(each) for method, each in seen.items()}


def _seconds(name, method, rate):
    (model, x, y, loss), call, clock = made(name, SEEDS[0]), NETWORKS[name][-1], Clock()
    model.compile(optimizer_of(method, rate, "constant", call), loss)
    full = FullBatch(passes_per_epoch=call)
    begun = [FromTheStart()] if method in WITHOUT else []  # none ends, since each epoch is a search of its own
    epochs = {"epochs": CALLS + 2, "callbacks": [full, clock, *begun]}
    model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0, **epochs)
    assert len(full.trace["loss"]) == (CALLS + 2) * call
    return float(np.median(clock.seconds)) / call


def table(name, found):
    """A problem's figures as lines of text."""
    kinds = list(next(iter(found.values()))["passes_to"])
    yield f"{name}: " + ", ".join(["rate", *(f"passes to {kind}" for kind in kinds), "ms of a pass"])
    for method, of in found.items():
        rate = "-" if "rate" not in of else f"{of['rate']:.3g} {of['schedule']}" + " (at an end)" * of["is_at_an_end"]
        medians = [of["passes_to"][kind]["median"] for kind in kinds]
        cells = ["-" if median is None else f"{median:g}" for median in medians]
        yield f"    {method:20} {rate:26} {' '.join(cell.rjust(6) for cell in cells)} {_milliseconds(of)}"


def _milliseconds(of):
    return f"{1000 * of['seconds_of_a_pass']:.3f}" if "seconds_of_a_pass" in of else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", action="store_true", help="take the seconds of a pass, and add them to the results"
    )
    parser.add_argument("--rows", type=pathlib.Path, default=pathlib.Path("runs", f"{NAME}.jsonl"))
    given = parser.parse_args()
    with float64():
        if given.seconds:
            problems = read(NAME)["problems"]
            for name, found in problems.items():
                for method, seconds in seconds_of_a_pass(name, found).items():
                    found[method]["seconds_of_a_pass"] = seconds
        else:
            rows = Rows(given.rows)
            problems = {name: compared(name, rows) for name in PROBLEMS}
    for name, found in problems.items():
        print("\n".join(table(name, found)))
    settings = {name: {**of._asdict(), "starts": SEEDS} for name, of in PROBLEMS.items()}
    write(NAME, {"settings": settings, "problems": problems})


if __name__ == "__main__":
    main()
