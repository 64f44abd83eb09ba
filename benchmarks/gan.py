"""The GAN recipes beside a DCGAN in the manner of keras.io, the same seconds of training on the same images.

`cifar10_gan` on the digits, without and with classes, and `benchmarks.gan_keras` at its widths, with three fresh seeds,
in turn, one process at a time. All are judged as often, by the classifier that each run trains anew with the same seed,
and the best judgement counts. The DCGAN trains for as long as the recipe without classes did with the same seed, at the
best of three learning rates, chosen with seed 0 and half of the time. For CIFAR-10 see `benchmarks.gan_models`.

What is finished is written to benchmarks/results/gan_digits.json, and not trained again.

    python -m benchmarks.gan        # an hour on two cores
"""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys

from benchmarks.record import read, write

KERAS = "keras.io"
RATES = {"adam 1e-4, keras.io's": (1e-4, 0.9), "adam 2e-4, beta 0.5": (2e-4, 0.5), "adam 1e-3, beta 0.5": (1e-3, 0.5)}
PRESET, SEEDS, VARIANTS = "cpu5", (1, 2, 3), ("sndcgan", "cgan_pd")
JUDGED = ("distance", "class_entropy", "confidence", "label_accuracy")
ONCE = (
    "distance_floor",
    "distance_floor_deviation",
    "distance_over_floor",
    "nearest_training_image",
    "nearest_training_image_of_test_images",
    "generated_images",
    "reference_images",
    "classifier_accuracy",
    "classifier_features",
    "classifier_dead_features",
    "classifier_hash",
)


class Study:
    def __init__(self, directory):
        self.directory = directory
        self.found = {"rates": {}, "rows": [], **read("gan_digits")}
        directory.mkdir(parents=True, exist_ok=True)

    def run(self):
        for seed in SEEDS:
            for variant in VARIANTS:
                self.once(variant, seed, self.ours)
            if not self.found["rates"]:
                self.choose()
            self.once(KERAS, seed, self.keras_io)

    def once(self, contender, seed, train):
        if any((row["contender"], row["seed"]) == (contender, seed) for row in self.found["rows"]):
            return
        row = {"contender": contender, "seed": seed, **train(contender, seed)}
        self.found["rows"].append(row)
        print(f"{contender} {seed}: {row['distance']:.3f} after {row['seconds']:.0f} s of training", flush=True)
        self.write()

    def ours(self, variant, seed):
        directory = self.directory / f"{variant}-{seed}"
        options = [f"--preset={PRESET}", f"--variant={variant}", f"--seed={seed}"]
        command = [sys.executable, "-m", "recipes", "train", "cifar10_gan", *options]
        subprocess.run([*command, f"--run-dir={directory}"], check=True, stdout=subprocess.DEVNULL)
        result = json.loads((directory / "result.json").read_text())
        about = {name: result[name] for name in (*JUDGED, *ONCE) if name in result}
        return {**about, "seconds": result["training_seconds"], "curve": curve(directory)}

    def keras_io(self, _contender, seed):
        (seconds,) = [
            row["seconds"] for row in self.found["rows"] if (row["contender"], row["seed"]) == (VARIANTS[0], seed)
        ]
        name = min(self.found["rates"], key=lambda name: self.found["rates"][name])
        found = self.dcgan(seed, seconds, len(self.found["rows"][0]["curve"]), *RATES[name])
        return {**found["best"], "seconds": found["curve"][-1]["seconds"], "curve": found["curve"]}

    def choose(self):
        """How near the DCGAN comes at each learning rate, with seed 0 and half of the time."""
        seconds, rates = self.found["rows"][0]["seconds"] / 2, {}
        for name, rate in RATES.items():
            rates[name] = self.dcgan(0, seconds, 5, *rate)["best"]["distance"]
            print(f"{KERAS}, {name}: {rates[name]:.3f}", flush=True)
        self.found["rates"] = rates
        self.write()

    def dcgan(self, seed, seconds, times, learning_rate, beta_1):
        out = self.directory / "keras.json"
        like = self.directory / f"{VARIANTS[0]}-{SEEDS[0]}"
        options = [f"--seconds={seconds}", f"--times={times}", f"--seed={seed}", f"--learning-rate={learning_rate}"]
        command = [sys.executable, "-m", "benchmarks.gan_keras", str(like), *options, f"--beta-1={beta_1}"]
        subprocess.run([*command, f"--out={out}"], check=True)
        return json.loads(out.read_text())

    def write(self):
        contenders = (*VARIANTS, KERAS)
        rows = sorted(self.found["rows"], key=lambda row: (contenders.index(row["contender"]), row["seed"]))
        medians = {name: middle([row for row in rows if row["contender"] == name]) for name in contenders}
        write("gan_digits", {"medians": medians, "rates": self.found["rates"], "rows": rows})


def curve(directory):
    """What the run was judged as, and after how many seconds of training."""
    with open(directory / "timing.csv", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    with open(directory / "metrics.csv", newline="") as file:
        rows = [(epoch, row) for epoch, row in enumerate(csv.DictReader(file), 1) if row.get("distance")]
    return [
        {
            "seconds": sum(seconds[:epoch]),
            "epoch": epoch,
            **{name: float(row[name]) for name in JUDGED if row.get(name)},
        }
        for epoch, row in rows
    ]


def middle(rows):
    """Medians over the seeds."""
    names = [name for name in (*JUDGED, "distance_over_floor", "seconds") if rows and name in rows[0]]
    return {"n": len(rows), **{name: statistics.median(row[name] for row in rows) for name in names}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "runs")
    study = Study(parser.parse_args().runs / "gan_digits")
    study.run()


if __name__ == "__main__":
    main()
