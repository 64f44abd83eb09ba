"""The rows of Geiping et al.'s table (arXiv:2109.14119), all their numbers of updates a tenth of the paper's.

`cifar10_full_batch` by its presets: a long training is 300 updates, warmed up over 40, along a cosine of
400 cut at 300; `sgd` and `fb` have 30 epochs. Judged on the 10,000 test images after training, without augmentation.
The study `small` fits a processor: 1,024 images, width 8, three seeds. `all` has all 50,000 images, width 32 and one
seed, for a GPU, and leaves out `fb_strong`: its blocks of 32, one after another, leave a large GPU idle.

Each training is a run directory that goes on where it was interrupted. After each, all that are finished are written to
benchmarks/results/full_batch_STUDY.json, and what is there is not trained again: rows may come from several machines,
and say which.

    python -m benchmarks.full_batch small --data cifar10 --data-dir DIR      # two hours on two cores
    KERAS_BACKEND=jax python -m benchmarks.full_batch all --data folder:DIR --workers 2
"""

import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys
import threading

from benchmarks.record import read, write
from recipes.run import table
from recipes.workers import cores_of

LONG = ("--epochs=300", "--schedule=cosine:period=400,warmup=40,start=0")
SHORT = ("--epochs=30", "--schedule=cosine:warmup=0.0167,start=0")
PRESETS = {"sgd": SHORT, "fb": SHORT, "fb_long": LONG, "fb_clip": LONG, "fb_reg": LONG, "fb_strong": LONG}
STUDIES = {  # presets, seeds, settings of all, of those in full batches
    "small": (tuple(PRESETS), 3, ("--train-images=1024", "--width=8"), ()),
    "all": (tuple(PRESETS)[:-1], 1, ("--width=32", "--dtype=bfloat16"), ("--batch-size=4992",)),  # 39 blocks
}
MEASURED = ("updates", "train_accuracy", "train_loss", "test_accuracy", "test_loss", "minutes")


class Study:
    """Trainings, as many at once as there are workers, and their table."""

    def __init__(self, name, source, directory, workers):
        self.name, self.source, self.directory = name, source, directory
        self.presets, self.seeds, self.common, self.full = STUDIES[name]
        self.cores, self.lock = queue.SimpleQueue(), threading.Lock()
        self.rows = read(f"full_batch_{name}").get("rows", [])
        for cores in cores_of(workers):
            self.cores.put(cores)

    def jobs(self):
        """What is still to be trained, a seed after the other, long trainings first."""
        jobs = [(preset, seed) for seed in range(self.seeds) for preset in reversed(self.presets)]
        done = [(row["preset"], row["seed"]) for row in self.rows]
        return [job for job in jobs if job not in done]

    def options(self, preset):
        full = () if preset == "sgd" else self.full
        return [*self.common, *full, *PRESETS[preset], f"--preset={preset}"]

    def train(self, job):
        """Train, or take what has been trained; write all rows there are."""
        preset, seed = job
        directory, cores = self.directory / f"{preset}-{seed}", self.cores.get()
        options = [*self.options(preset), *self.source, f"--seed={seed}", f"--run-dir={directory}"]
        command = [sys.executable, "-m", "recipes", "train", "cifar10_full_batch", *options]
        try:
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, cores)
            )
        finally:
            self.cores.put(cores)
        with self.lock:
            self.rows.append(row(preset, seed, directory))
            print(
                "{preset} {seed}: {test_accuracy:.1%} after {minutes:.1f} minutes".format(**self.rows[-1]), flush=True
            )
            self.write()

    def write(self):
        rows = sorted(self.rows, key=lambda row: (self.presets.index(row["preset"]), row["seed"]))
        settings = {preset: " ".join(self.options(preset)) for preset in self.presets}
        means = middle(self.presets, rows)
        write(f"full_batch_{self.name}", {"settings": settings, "means": means, "rows": rows})


def row(preset, seed, directory):
    """What is kept of a training."""
    result = json.loads((directory / "result.json").read_text())
    with open(directory / "metrics.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    start = json.loads((directory / "environment.json").read_text())["starts"][-1]
    return {
        "preset": preset,
        "seed": seed,
        "machine": start.get("machine"),
        "versions": start["versions"],
        "on": f"{start['backend']} {start['versions'][start['backend']]}, {', '.join(start['devices'])}",
        "updates": result["updates"],
        "train_accuracy": float(last["accuracy"]),
        "train_loss": float(last["loss"]),
        "test_accuracy": result["test_accuracy"],
        "test_loss": result["test_loss"],
        "minutes": result["training_seconds"] / 60,
    }


def middle(presets, rows):
    """Mean of each preset, and the standard deviation of its test accuracy."""
    found = []
    for preset in presets:
        mine = [row for row in rows if row["preset"] == preset]
        if mine:
            accuracies = [row["test_accuracy"] for row in mine]
            means = {name: statistics.mean(row[name] for row in mine) for name in MEASURED}
            deviation = statistics.stdev(accuracies) if len(mine) > 1 else None
            found.append({"preset": preset, "n": len(mine), **means, "test_accuracy_deviation": deviation})
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--data", default="cifar10", help="cifar10, or folder:DIR with the same images")
    parser.add_argument("--data-dir")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "runs")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    source = [f"--data={asked.data}", *([f"--data-dir={asked.data_dir}"] if asked.data_dir else [])]
    study = Study(asked.study, source, asked.runs / f"full_batch_{asked.study}", asked.workers)
    with concurrent.futures.ThreadPoolExecutor(asked.workers) as pool:
        for _ in pool.map(study.train, study.jobs()):
            pass
    print(table(middle(study.presets, study.rows)))


if __name__ == "__main__":
    main()
