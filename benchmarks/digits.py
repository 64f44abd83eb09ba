"""Test accuracy of the cifar10_cnn recipe on the embedded digits, over seeds: BatchGD, and SGD with equal passes.

Each run is a process of its own, as a user would start it.

    python -m benchmarks.digits
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.record import write

SEEDS = 5
CONTENDERS = {"batch_gd": [], "sgd": ["--optimizer", "sgd", "--learning-rate", "0.05"]}


def run(options, seed):
    """One run's result, with the seconds from start to end of the process."""
    with tempfile.TemporaryDirectory() as directory:
        target = pathlib.Path(directory, "run")
        command = [sys.executable, "-m", "recipes", "train", "cifar10_cnn", "--seed", str(seed), *options]
        start = time.perf_counter()
        subprocess.run([*command, "--run-dir", str(target)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        return {**json.loads((target / "result.json").read_text()), "seconds": seconds}


def main():
    results = {}
    for name, options in CONTENDERS.items():
        runs = [run(options, seed) for seed in range(SEEDS)]
        accuracies = [each["test_accuracy"] for each in runs]
        results[name] = {
            "options": options,
            "updates": runs[0]["updates"],
            "test_accuracy": accuracies,
            "mean": statistics.mean(accuracies),
            "standard_deviation": statistics.stdev(accuracies),
            "median_seconds": statistics.median(each["seconds"] for each in runs),
        }
        print(
            "{:9} {mean:.2%} ± {standard_deviation:.2%} on 360 test images, {n} seeds, {updates} updates, "
            "{median_seconds:.0f} s".format(name, n=SEEDS, **results[name])
        )
    write("digits", {"seeds": SEEDS, **results})


if __name__ == "__main__":
    main()
