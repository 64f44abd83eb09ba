"""After how many passes `cifar10_cnn --preset muon` has 95 % of the validation images of the digits.

It is trained with five seeds, none of which its settings were chosen with. Each training is a run directory
that goes on where it was interrupted. The validation part has 144 images, which are looked at after every pass; the 360
test images are looked at once, after the last one.

    python -m benchmarks.full_batch_digits
"""

import argparse
import math
import os
import pathlib
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.record import write
from recipes import run as runs
from recipes import training
from recipes.cifar10_cnn import Cifar10CNN

PRESET, SEEDS = "muon", range(5)
ENOUGH = 0.95  # of the validation images
SETTINGS = {}  # over the preset's


def row(seed, directory):
    """What one training came to, a dict."""
    recipe = Cifar10CNN.from_preset(PRESET, data="digits", seed=seed, **SETTINGS)
    result, directory = training.train(recipe, directory / f"{PRESET}-{seed}", strategy="cpu", dtype="float32")
    accuracies = [float(each["val_accuracy"]) for each in runs.metrics_of(directory)]
    reached = next((passes for passes, each in enumerate(accuracies, 1) if each >= ENOUGH), None)
    return {
        **{"seed": seed, "passes_to_95_percent": reached, "passes": len(accuracies)},
        **{"val_accuracy": accuracies[-1], "test_accuracy": result["test_accuracy"]},
    }


def summary(rows):
    """Medians over the seeds, and of the test accuracy the mean and the standard deviation."""
    passes = statistics.median(each["passes_to_95_percent"] or math.inf for each in rows)
    test = [each["test_accuracy"] for each in rows]
    return {
        **{"n": len(rows), "passes": rows[0]["passes"], "passes_to_95_percent": passes if passes < math.inf else None},
        "val_accuracy": statistics.median(each["val_accuracy"] for each in rows),
        "test_accuracy": statistics.mean(test),
        "test_accuracy_deviation": statistics.stdev(test) if len(test) > 1 else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    directory = parser.parse_args().runs / "full_batch_digits"
    rows = [row(seed, directory) for seed in SEEDS]
    found = summary(rows)
    print(found)
    write("full_batch_digits", {"preset": PRESET, **found, "rows": rows})


if __name__ == "__main__":
    main()
