"""The rows of Geiping et al.'s table (arXiv:2109.14119) at the size of a processor: 1,024 real images, 300 updates.

`cifar10_cnn --variant full_batch` at width 8, its presets with all numbers of updates a tenth of the paper's: a long
training is 300 updates, warmed up over 40, along a cosine of 400 cut at 300; `sgd` and `fb` have 30 epochs. Judged on
the 10,000 test images after training, without augmentation, three seeds. Each training is a run directory that goes on
where it was interrupted, and all become results/full_batch.json.

    python -m benchmarks.full_batch --data-dir DIR        # DIR of tensorflow-datasets; two hours on two cores
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

from benchmarks.record import write
from recipes.tables import table
from recipes.tuning.processes import cores_of

RUNS = pathlib.Path(__file__).parents[1] / "runs" / "full_batch"
COMMON = ("--variant=full_batch", "--data=cifar10", "--train-images=1024", "--width=8", "--validation-split=0")
LONG = ["--epochs", "300", "--schedule", "cosine:period=400,warmup=40,start=0"]
SHORT = ["--epochs", "30", "--schedule", "cosine:warmup=0.0167,start=0"]
PRESETS = {"sgd": SHORT, "fb": SHORT, "fb_long": LONG, "fb_clip": LONG, "fb_reg": LONG, "fb_strong": LONG}
SEEDS = 3


def trained(preset, seed, data_dir, cores):
    """Train on one core, or take what has been trained: a row."""
    directory, core = RUNS / f"{preset}-{seed}", cores.get()
    options = [*COMMON, *PRESETS[preset], "--preset", preset, "--seed", str(seed), "--run-dir", str(directory)]
    command = [sys.executable, "-m", "recipes", "train", "cifar10_cnn", *options, "--data-dir", data_dir]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, core))
    finally:
        cores.put(core)
    result = json.loads((directory / "result.json").read_text())
    with open(directory / "metrics.csv", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    row = {
        "preset": preset,
        "seed": seed,
        "updates": result["updates"],
        "train_accuracy": float(last["accuracy"]),
        "train_loss": float(last["loss"]),
        "test_accuracy": result["test_accuracy"],
        "test_loss": result["test_loss"],
        "minutes": result["training_seconds"] / 60,
    }
    print("{preset} {seed}: {test_accuracy:.1%} after {minutes:.0f} minutes".format(**row), flush=True)
    return row


def middle(rows):
    """Mean of each preset, and the standard deviation of its test accuracy."""
    found = []
    for preset in PRESETS:
        mine = [row for row in rows if row["preset"] == preset]
        means = {name: statistics.mean(row[name] for row in mine) for name in list(rows[0])[2:]}
        spread = statistics.stdev(row["test_accuracy"] for row in mine)
        found.append({"preset": preset, **means, "test_accuracy_deviation": spread})
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    asked, cores = parser.parse_args(), queue.SimpleQueue()
    for core in cores_of(len(os.sched_getaffinity(0))):
        cores.put(core)
    jobs = [(preset, seed) for seed in range(SEEDS) for preset in PRESETS]
    with concurrent.futures.ThreadPoolExecutor(cores.qsize()) as pool:
        rows = list(pool.map(lambda job: trained(*job, asked.data_dir, cores), jobs))
    means = middle(rows)
    print(table(means))
    write("full_batch", {"command": " ".join(COMMON), "means": means, "rows": rows})


if __name__ == "__main__":
    main()
