"""The five GAN recipes on CIFAR-10, and a DCGAN in the manner of keras.io, in the images of an hour on two cores.

`cifar10_gan --preset cpu60` by its variants, and `benchmarks.gan_keras` at the same widths for as many images as it
trains on in an hour on two cores, by benchmarks/results/gan_speed.json. Images are the budget, so that trainings may
run side by side, on a GPU too; rows say on what. The best judgement counts for each.

Each recipe's training is a run directory that goes on where it was interrupted. What is finished is written to
benchmarks/results/gan_models.json, and not trained again; beside it stands how far the others have come.

    KERAS_BACKEND=jax python -m benchmarks.gan_models --data folder:DIR --seeds 2 --workers 4
"""

import argparse
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from benchmarks.gan import JUDGED, KERAS, ONCE, RATES, curve
from benchmarks.record import read, write
from recipes.run import table

VARIANTS = ("sndcgan", "cgan_pd", "dcgan", "wgan_gp", "r3gan_small")
PRESET, SECONDS, TIMES = "cpu60", 3600, 20


class Study:
    """Trainings, as many at once as there are workers, and their table."""

    def __init__(self, source, directory):
        self.source, self.directory, self.lock = source, directory, threading.Lock()
        self.rows = read("gan_models").get("rows", [])

    def train(self, job):
        """Train, or take what has been trained; write all rows there are."""
        contender, seed = job
        if job in [(row["contender"], row["seed"]) for row in self.rows]:
            return
        found = (self.keras_io if contender == KERAS else self.ours)(contender, seed)
        with self.lock:
            self.rows.append({"contender": contender, "seed": seed, **found})
            print(f"{contender} {seed}: {found['distance']:.2f}, {found['seconds']:.0f} s", flush=True)
            self.write()

    def ours(self, variant, seed):
        directory = self.directory / f"{variant}-{seed}"
        options = [f"--preset={PRESET}", f"--variant={variant}", f"--seed={seed}", f"--run-dir={directory}"]
        command = [sys.executable, "-m", "recipes", "train", "cifar10_gan", *options, *self.source]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result = json.loads((directory / "result.json").read_text())
        about = {name: result[name] for name in (*JUDGED, *ONCE) if name in result}
        return {**about, **self.on(directory), "seconds": result["training_seconds"], "curve": curve(directory)}

    def keras_io(self, contender, seed):
        """Judged by the classifier of a run that has one."""
        begun, out = time.monotonic(), self.directory / f"keras-{seed}.json"
        like = self.directory / f"{VARIANTS[0]}-{seed}"
        while not (like / "classifier.keras").exists():
            time.sleep(1)
        rates = read("gan_digits")["rates"]
        rate, beta_1 = RATES[min(rates, key=rates.get)]
        speed = read("gan_speed")["images_a_second"][KERAS]
        options = [f"--seconds={SECONDS}", f"--times={TIMES}", f"--seed={seed}", f"--images-a-second={speed}"]
        options += [f"--learning-rate={rate}", f"--beta-1={beta_1}", f"--out={out}"]
        subprocess.run([sys.executable, "-m", "benchmarks.gan_keras", str(like), *options], check=True)
        found = json.loads(out.read_text())
        seconds = time.monotonic() - begun
        return {**found["best"], **self.on(like), "dtype": "float32", "seconds": seconds, "curve": found["curve"]}

    def on(self, directory):
        start = json.loads((directory / "environment.json").read_text())["starts"][-1]
        config = json.loads((directory / "config.json").read_text())
        devices = ", ".join(start["devices"])
        return {"on": f"{start['backend']} {start['versions'][start['backend']]}, {devices}", "dtype": config["dtype"]}

    def write(self):
        order = (*VARIANTS, KERAS)
        rows = sorted(self.rows, key=lambda row: (order.index(row["contender"]), row["seed"]))
        means = [mean(rows, name) for name in order]
        write("gan_models", {"preset": PRESET, "means": means, "unfinished": self.unfinished(), "rows": rows})

    def unfinished(self):
        """How far the runs have come that have no result."""
        found = read("gan_models").get("unfinished", [])
        known = [(row["contender"], row["seed"]) for row in self.rows]
        for path in sorted(self.directory.glob("*/metrics.csv")):
            variant, _, seed = path.parent.name.rpartition("-")
            found = [row for row in found if (row["contender"], row["seed"]) != (variant, int(seed))]
            found.append({"contender": variant, "seed": int(seed), **self.on(path.parent), "curve": curve(path.parent)})
        return [row for row in found if (row["contender"], row["seed"]) not in known]


def mean(rows, contender):
    """Means over the seeds, and the range of the distance."""
    mine = [row for row in rows if row["contender"] == contender]
    names = [name for name in JUDGED if mine and name in mine[0]]
    distances = [row["distance"] for row in mine]
    spread = {"lowest": min(distances), "highest": max(distances)} if mine else {}
    return {
        "contender": contender,
        "n": len(mine),
        **{name: statistics.mean(row[name] for row in mine) for name in names},
        **spread,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10", help="cifar10, or folder:DIR with the same images")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "runs")
    asked = parser.parse_args()
    source = [f"--data={asked.data}", *([f"--data-dir={asked.data_dir}"] if asked.data_dir else [])]
    study = Study(source, asked.runs / "gan_models")
    study.directory.mkdir(parents=True, exist_ok=True)
    jobs = [(contender, seed) for seed in range(1, asked.seeds + 1) for contender in (*VARIANTS, KERAS)]
    with concurrent.futures.ThreadPoolExecutor(asked.workers) as pool:
        for _ in pool.map(study.train, jobs):
            pass
    print(table([mean(study.rows, name) for name in (*VARIANTS, KERAS)]))


if __name__ == "__main__":
    main()
