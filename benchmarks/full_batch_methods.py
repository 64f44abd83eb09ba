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
        call: int, passes of an epoch, behind which the accuracy is looked at, and a cosine takes its next step.
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
        rates={"descent": 1e-5, "momentum": 1e-6, "Nesterov": 1e-5, "Muon": 1e-3, "sign momentum": 1e-3, "Adam": 1e-3},
    ),
    "tanh regression": Problem(
        passes=2000,
        call=20,
        levels=(1e-3, 1e-4, 1e-5),
        accuracy=None,
        rates={"descent": 1e-3, "momentum": 1e-3, "Nesterov": 1e-3, "Muon": 1e-4, "sign momentum": 1e-5, "Adam": 1e-4},
    ),
}
WITH_A_RATE = {
    "descent": BatchGD,
    "momentum": functools.partial(BatchGD, momentum=0.9),
    "Nesterov": functools.partial(BatchGD, momentum=0.9, nesterov=True),
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


class Training(typing.NamedTuple):
    """A start, and of a method with a learning rate that rate and a word of `SCHEDULES`."""

    seed: int
    rate: float | None = None
    schedule: str | None = None


class OneAfterAnother(keras.callbacks.Callback):
    """Makes several trainings of one `fit`, which compiles once: each begins with weights and an optimizer of its own.

    Args:
        trainings: list of `Training`, all with a rate.
        starts: list of lists of weights, one for each.
        epochs: int, of each.
    """

    def __init__(self, trainings, starts, epochs):
        super().__init__()
        self._trainings, self._starts, self._epochs = trainings, starts, epochs

    def on_train_begin(self, logs=None):
        self._fresh = [keras.ops.convert_to_numpy(each) for each in self.model.optimizer.variables]

    def on_epoch_begin(self, epoch, logs=None):
        number, done = divmod(epoch, self._epochs)
        if done == 0:
            self.model.set_weights(self._starts[number])
            for variable, value in zip(self.model.optimizer.variables, self._fresh, strict=True):
                variable.assign(value)
        of = self._trainings[number]
        falls = of.schedule == "cosine"
        self.model.optimizer.learning_rate = of.rate * (
            0.5 + 0.5 * math.cos(math.pi * done / self._epochs) if falls else 1
        )


def trained(name, method, trainings):
    """What trainings of one method have seen: passes to each level and to the accuracy, and the lowest loss; dicts.

    Args:
        name: str, of the problem.
        method: str.
        trainings: list of `Training`; a single one where the method has no rate.
    """
    problem, (model, x, y, loss) = PROBLEMS[name], made(name, trainings[0].seed)
    starts = [made(name, each.seed)[0].get_weights() for each in trainings]
    epochs = problem.passes // problem.call
    optimizer = WITHOUT[method]() if method in WITHOUT else WITH_A_RATE[method](trainings[0].rate)
    model.compile(optimizer, loss, weighted_metrics=[] if problem.accuracy is None else ["accuracy"])
    full = FullBatch(passes_per_epoch=problem.call)
    begin = [OneAfterAnother(trainings, starts, epochs)] if method in WITH_A_RATE else []
    history = model.fit(
        **{"x": x, "y": y, "batch_size": len(x), "shuffle": False, "verbose": 0, "callbacks": [full, *begin]},
        epochs=len(trainings) * epochs,
        validation_data=None if problem.accuracy is None else test_part(),
    ).history
    assert method in WITHOUT or len(full.trace["loss"]) == len(trainings) * problem.passes
    accuracies = history.get("val_accuracy", [])
    return [
        {
            **{"problem": name, "method": method, **training._asdict()},
            **seen(
                problem,
                full.trace["loss"][number * problem.passes :][: problem.passes],
                accuracies[number * epochs :][:epochs],
            ),
        }
        for number, training in enumerate(trainings)
    ]


def seen(problem, losses, accuracies):
    """The figures of one training.

    Args:
        problem: `Problem`.
        losses: array, the loss that each pass has told.
        accuracies: list of floats, on the test part after each epoch; an empty one of a regression.
    """
    lowest = np.fmin.accumulate(losses)  # what is not a number is no lower loss
    epochs = first(np.array(accuracies) >= problem.accuracy) if accuracies else None
    return {
        "passes_to": {str(level): first(lowest <= level) for level in problem.levels},
        "passes_to_accuracy": epochs and epochs * problem.call,
        **{"lowest": float(lowest[-1]), "passes": len(lowest)},
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
        return (row["problem"], row["method"], Training(row["seed"], row["rate"], row["schedule"]))

    def of(self, name, method, trainings):
        """The rows of trainings; those that are not there are trained."""
        missing = [each for each in trainings if (name, method, each) not in self._rows]
        together = [[each] for each in missing] if method in WITHOUT else [missing] if missing else []
        for some in together:
            self._add(trained(name, method, some))
        return [self._rows[name, method, each] for each in trainings]

    def _add(self, rows):
        with self._path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        for row in rows:
            self._rows[self._key(row)] = row
            print(f"{row['problem']}, {row['method']}, seed {row['seed']}: {described(row)}", flush=True)


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
    return {method: taken(name, method, rows) for method in (*WITH_A_RATE, *WITHOUT)}


def taken(name, method, rows):
    """What a method takes on a problem, with the rate that its search has found if it has one."""
    problem, about = PROBLEMS[name], {}
    if method in WITH_A_RATE:
        rates = [float(f"{problem.rates[method] * step:.3g}") for step in STEPS]
        pairs = itertools.product(rates, SCHEDULES)
        best = soonest(rows.of(name, method, [Training(SEARCHED, *pair) for pair in pairs]))
        about = {"rate": best["rate"], "schedule": best["schedule"]}
    each = rows.of(name, method, [Training(seed, *about.values()) for seed in SEEDS])
    found = {level: summary([row["passes_to"][level] for row in each]) for level in each[0]["passes_to"]}
    if problem.accuracy is not None:
        found["accuracy"] = summary([row["passes_to_accuracy"] for row in each])
    if about:
        about["is_at_an_end"] = about["rate"] in (rates[0], rates[-1])
    return {**about, "lowest": statistics.median(row["lowest"] for row in each), "passes_to": found}


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
    model.compile(WITHOUT[method]() if method in WITHOUT else WITH_A_RATE[method](rate), loss)
    full = FullBatch(passes_per_epoch=call)
    begun = [FromTheStart()] if method in WITHOUT else []  # none ends, since each epoch is a search of its own
    epochs = {"epochs": CALLS + 2, "callbacks": [full, clock, *begun]}
    model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0, **epochs)
    assert len(full.trace["loss"]) == (CALLS + 2) * call
    return float(np.median(clock.seconds)) / call


def table(name, found):
    """A problem's figures as lines of text."""
    kinds = list(next(iter(found.values()))["passes_to"])
    yield f"{name}: " + ", ".join(
        ["rate", *(f"passes to {kind}" for kind in kinds), "ms of a pass, s to the lowest loss"]
    )
    for method, of in found.items():
        rate = "-" if "rate" not in of else f"{of['rate']:.3g} {of['schedule']}" + " (at an end)" * of["is_at_an_end"]
        medians = [of["passes_to"][kind]["median"] for kind in kinds]
        cells = [*("-" if median is None else f"{median:g}" for median in medians), *seconds_in_words(of)]
        yield f"    {method:20} {rate:26} {' '.join(cell.rjust(6) for cell in cells)}"


def seconds_in_words(of):
    """The milliseconds of a pass and the seconds to the lowest level of the loss, texts; none where they are not taken.

    Args:
        of: dict, what a method takes.
    """
    if "seconds_of_a_pass" not in of:
        return []
    seconds = of["seconds_of_a_pass"]
    *_, passes = (each["median"] for kind, each in of["passes_to"].items() if kind != "accuracy")
    return [f"{1000 * seconds:.2f}", "-" if passes is None else f"{passes * seconds:.3f}"]


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
