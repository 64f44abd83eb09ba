"""The GAN recipes beside a DCGAN in the manner of keras.io, the same seconds of training on the same images.

`cifar10_gan` and `benchmarks.gan_keras` at its widths, in turn, one process at a time. On the digits the recipe is
trained without and with classes, with three fresh seeds; on CIFAR-10 with classes, with one. All are judged as often,
by the classifier that each run trains anew with the same seed, and the best judgement counts. The DCGAN trains for as
long as the recipe did with the same seed, without classes where there is such a run, at the best of three learning
rates, chosen on the digits with seed 0 and half of the time.

On CIFAR-10, where training takes two hours, seconds are images at the speed that both have in turns at the beginning
(`benchmarks.gan_speed`, on a machine that does nothing else), whatever the machine does later.

What is finished is written to benchmarks/results/gan_DATA.json, and not trained again.

    python -m benchmarks.gan digits                        # an hour on two cores
    python -m benchmarks.gan cifar10 --data-dir DIR        # two hours, digits first
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
DATA = {  # preset, seeds, variants
    "digits": ("cpu5", (1, 2, 3), ("sndcgan", "cgan_pd")),
    "cifar10": ("cpu60", (1,), ("cgan_pd",)),
}
BY_IMAGES = ("cifar10",)
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
    def __init__(self, name, data_dir, directory):
        self.name, self.directory = name, directory
        self.preset, self.seeds, self.variants = DATA[name]
        self.places = [f"--data-dir={data_dir}"] if data_dir else []
        rates = read("gan_digits").get("rates", {})
        self.found = {"rates": rates, "rows": [], "speeds": None, **read(f"gan_{name}")}
        directory.mkdir(parents=True, exist_ok=True)

    def run(self):
        if self.name in BY_IMAGES and not self.found["speeds"]:
            self.measure_speeds()
        for seed in self.seeds:
            for variant in self.variants:
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
        options = [f"--data={self.name}", f"--preset={self.preset}", f"--variant={variant}", f"--seed={seed}"]
        command = [sys.executable, "-m", "recipes", "train", "cifar10_gan", *options, *self.places]
        subprocess.run([*command, f"--run-dir={directory}"], check=True, stdout=subprocess.DEVNULL)
        result = json.loads((directory / "result.json").read_text())
        about = {name: result[name] for name in (*JUDGED, *ONCE) if name in result}
        points = curve(directory, self.seconds_of_an_epoch(directory))
        return {**about, "seconds": points[-1]["seconds"], "curve": points}

    def measure_speeds(self):
        options = [f"--data={self.name}", f"--preset={self.preset}", f"--variant={self.variants[0]}", *self.places]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.gan_speed", *options], check=True, stdout=subprocess.PIPE, text=True
        )
        self.found["speeds"] = json.loads(done.stdout.splitlines()[-1])
        print(self.found["speeds"], flush=True)
        self.write()

    def seconds_of_an_epoch(self, directory):
        """None where seconds are those of the clock."""
        if not self.found["speeds"]:
            return None
        config = json.loads((directory / "config.json").read_text())
        images = config["trained_on"]["train"] // config["batch_size"] * config["batch_size"]
        return images / self.found["speeds"]["images_a_second"]["cifar10_gan"]

    def keras_io(self, _contender, seed):
        (seconds,) = [
            row["seconds"] for row in self.found["rows"] if (row["contender"], row["seed"]) == (self.variants[0], seed)
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
        like = self.directory / f"{self.variants[0]}-{self.seeds[0]}"
        options = [f"--seconds={seconds}", f"--times={times}", f"--seed={seed}", f"--learning-rate={learning_rate}"]
        if self.found["speeds"]:
            options.append(f"--images-a-second={self.found['speeds']['images_a_second'][KERAS]}")
        command = [sys.executable, "-m", "benchmarks.gan_keras", str(like), *options, f"--beta-1={beta_1}"]
        subprocess.run([*command, *self.places, f"--out={out}"], check=True)
        return json.loads(out.read_text())

    def write(self):
        contenders = (*self.variants, KERAS)
        rows = sorted(self.found["rows"], key=lambda row: (contenders.index(row["contender"]), row["seed"]))
        medians = {name: middle([row for row in rows if row["contender"] == name]) for name in contenders}
        speeds = {"speeds": self.found["speeds"]} if self.found["speeds"] else {}
        write(f"gan_{self.name}", {**speeds, "medians": medians, "rates": self.found["rates"], "rows": rows})


def curve(directory, seconds_of_an_epoch=None):
    """What the run was judged as, and after how many seconds of training: as timed, or so many an epoch."""
    with open(directory / "timing.csv", newline="") as file:
        seconds = [seconds_of_an_epoch or float(row["seconds"]) for row in csv.DictReader(file)]
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
    parser.add_argument("data", choices=DATA)
    parser.add_argument("--data-dir")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "runs")
    asked = parser.parse_args()
    study = Study(asked.data, asked.data_dir, asked.runs / f"gan_{asked.data}")
    study.run()


if __name__ == "__main__":
    main()
