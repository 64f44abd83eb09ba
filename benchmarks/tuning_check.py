"""A real search beside its replay: the same 40 configurations in the same order, trial by trial.

`benchmarks.tuning_replay` looks up in a table what a search would train. Here one search trains: successive halving of
the table's configurations with one worker on one core, through the tuner, the database and the processes of any search.
Its trials and scores should be those of the replay.

    python -m benchmarks.tuning_check digits                       # four minutes
    python -m benchmarks.tuning_check cifar10 --data-dir DIR
"""

import argparse
import csv
import json
import os
import tempfile
import time

import keras_tuner

from benchmarks.record import write
from benchmarks.tuning_replay import RESULTS, Table, halved
from benchmarks.tuning_table import BUDGETS, CHANCE, CONFIGURATIONS, hypermodel_of
from recipes.tuning import Place, StorageOracle, Tuner
from recipes.tuning.halving import rungs_of
from recipes.tuning.statuses import COMPLETED
from recipes.tuning.storage import sqlite_url


def searched(data, data_dir):
    """The trials of a real search in the order in which they began: configuration, rung, score, epochs trained."""
    hypermodel = hypermodel_of(data, data_dir)
    space = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(space)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # as each training of the table had one
    with tempfile.TemporaryDirectory() as directory:
        oracle = StorageOracle(
            sqlite_url(f"{directory}/search.db"),
            hypermodel.objective(),
            CONFIGURATIONS,
            rungs=rungs_of(BUDGETS[data][-1]),
            seed=0,
            hyperparameters=space,
            max_consecutive_failed_trials=CONFIGURATIONS,
        )
        place = Place("cpu", "float32", data_dir)
        Tuner(hypermodel, oracle, place=place, directory=directory, project_name="search").search()
        rows = [_row(trial) for trial in oracle.trials.values()]
        oracle.close()
    return rows


def _row(trial):
    values, done = trial.hyperparameters.values, trial.status == COMPLETED
    trained = trial.metrics.get_best_value("trained_epochs") if done else values["tuner/epochs"]
    configuration = int(trial.trial_id.partition("-")[0])
    return configuration, values["tuner/round"], trial.score if done else CHANCE, int(trained)


def compared(table, real):
    """The search beside its replay, a dict."""
    replayed = [(c, rung, score, trained) for rung, c, score, trained in _replayed(table)]
    pairs = list(zip(real, replayed, strict=False))
    best = max(real, key=lambda row: (row[1], row[2]))
    return {
        "trials": len(real),
        "trials_of_the_replay": len(replayed),
        "same_trials_in_the_same_order": [row[:2] for row in real] == [row[:2] for row in replayed],
        "largest_difference_of_scores": max(abs(ours[2] - theirs[2]) for ours, theirs in pairs),
        "epochs_trained": sum(row[3] for row in real),
        "epochs_trained_by_the_replay": sum(row[3] for row in replayed),
        "best_configuration": best[0],
        "its_quality_in_the_table": table.quality(best[0]),
        "best_quality_in_the_table": max(map(table.quality, table.configurations)),
    }


def _replayed(table):
    return halved(table, list(range(CONFIGURATIONS)), dict.fromkeys(table.configurations, 0))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=BUDGETS)
    parser.add_argument("--data-dir")
    asked = parser.parse_args()
    with open(RESULTS / f"tuning_table_{asked.data}.csv", newline="") as file:
        table = Table(list(csv.DictReader(file)))
    begin = time.perf_counter()
    real = searched(asked.data, asked.data_dir)
    found = {"seconds": round(time.perf_counter() - begin), **compared(table, real)}
    print(json.dumps(found, indent=2))
    write(f"tuning_check_{asked.data}", found)


if __name__ == "__main__":
    main()
