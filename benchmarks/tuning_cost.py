"""What a search costs besides training: seconds of a trial beyond its `fit`, and trials an hour of two workers.

Trials of `cifar10_cnn` on 500 digits, three epochs each, single-threaded: one worker on one core, then two on two, in
turns. A trial's seconds are those from the result before to its own, with all that the search does between them; its
`fit` is what its run records of its epochs.

    python -m benchmarks.tuning_cost       # ten minutes on two cores
"""

import itertools
import json
import os
import statistics
import tempfile
import time

import keras_tuner

from benchmarks.record import write
from recipes import run as runs
from recipes.cifar10_cnn import Cifar10CNN
from recipes.tuning import Place, RecipeHyperModel, StorageOracle, Tuner
from recipes.tuning.storage import sqlite_url

ROUNDS, TRIALS = 3, 8
RECIPE = Cifar10CNN(optimizer="momentum", gradient_accumulation_steps="1", train_images=500, epochs=3, batch_size=50)
SPACE = "learning_rate=0.01:1,momentum=0.0|0.9,schedule=linear|cosine"


class Clock:
    """When each trial ended, and the seconds of its `fit`."""

    def __init__(self):
        self.fits, self.ends, self._runs = [], [], {}

    def began(self, trial, slot, directory, epochs):
        self._runs[trial.trial_id] = directory

    def look(self):
        pass

    def ended(self, trial, slot, seconds):
        self.fits.append(sum(runs.seconds_of(self._runs[trial.trial_id])))
        self.ends.append(time.perf_counter())


def search(workers, seed):
    """A search on so many cores: `(seconds beyond fit of each trial but the first, trials an hour)`."""
    cores, clock = sorted(os.sched_getaffinity(0)), Clock()
    hypermodel = RecipeHyperModel(RECIPE, SPACE)
    with tempfile.TemporaryDirectory() as directory:
        space = keras_tuner.HyperParameters()
        hypermodel.declare_hyperparameters(space)
        storage = sqlite_url(f"{directory}/search.db")
        oracle = StorageOracle(storage, hypermodel.objective(), TRIALS, seed=seed, hyperparameters=space)
        options = {"workers": workers, "place": Place("cpu"), "directory": directory, "project_name": "search"}
        tuner = Tuner(hypermodel, oracle, watch=clock, **options)
        os.sched_setaffinity(0, cores[:workers])
        try:
            tuner.search()
        finally:
            os.sched_setaffinity(0, cores)
            oracle.close()
    first, last = clock.ends[workers - 1], clock.ends[-1]  # from when all are at work
    pairs = zip(itertools.pairwise(clock.ends), clock.fits[1:], strict=True)
    beyond = [end - begin - fit for (begin, end), fit in pairs]  # of one worker; of two they overlap
    return beyond, 3600 * (TRIALS - workers) / (last - first)


def main():
    beyond, rates = [], {1: [], 2: []}
    for seed in range(ROUNDS):
        for workers in rates:
            seconds, rate = search(workers, seed)
            rates[workers].append(rate)
            if workers == 1:
                beyond += seconds
            print(f"{workers} workers: {rate:.0f} trials an hour", flush=True)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    found = {
        "trials": len(beyond),
        "median_seconds_beyond_fit": statistics.median(beyond),
        "largest_seconds_beyond_fit": max(beyond),
        "trials_an_hour": {str(workers): statistics.median(each) for workers, each in rates.items()},
        "two_workers_beside_one": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
    }
    print(json.dumps(found, indent=2))
    write("tuning_cost", found)


if __name__ == "__main__":
    main()
