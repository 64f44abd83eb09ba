"""`cifar10_gan` and a DCGAN in the manner of keras.io on CIFAR-10, an hour of training each, by the clock.

`--preset cpu60 --variant cgan_pd`, for as many of its epochs as fit into the hour at the speed measured first, so that
its schedule ends in time; and `benchmarks.gan_keras` at the same widths and keras.io's own learning rate. One after the
other, on a machine that does nothing else; judgements don't count. The recipe goes on where it was interrupted, and
what is finished is not trained again. Two seeds of all variants, by images, are in `benchmarks.gan_models`.

    python -m benchmarks.gan_clock --data-dir DIR        # of CIFAR-10; two hours and a half
"""

import argparse
import json
import pathlib
import subprocess
import sys

from benchmarks import gan_speed
from benchmarks.gan import JUDGED, KERAS, ONCE, curve
from benchmarks.record import write
from recipes.cifar10_gan import Cifar10GAN
from recipes.run import table

PRESET, VARIANT, SEED = "cpu60", "cgan_pd", 1
SECONDS, TIMES, MINUTES = 3600, 12, (5, 15, 30, 60)
SPARE = 1.05  # a judgement's allocations and the first epoch's compilation slow epochs down by a few per cent


def epochs_within(seconds, images_a_second, images):
    """How many epochs fit: at least one, and at most those of the preset."""
    most = Cifar10GAN.from_preset(PRESET, data="cifar10", variant=VARIANT).epochs
    return max(1, min(most, int(seconds * images_a_second / SPARE / images)))


def ours(directory, data_dir):
    """Train the recipe for an hour, if it is not; its row."""
    if not (directory / "result.json").exists():
        options = [f"--preset={PRESET}", f"--variant={VARIANT}", "--data=cifar10", f"--seed={SEED}", "--judge-every=1"]
        options += [f"--epochs={_epochs(directory, data_dir)}", f"--run-dir={directory}", f"--data-dir={data_dir}"]
        subprocess.run([sys.executable, "-m", "recipes", "train", "cifar10_gan", *options], check=True)
    result, config = (json.loads((directory / f"{name}.json").read_text()) for name in ("result", "config"))
    about = {name: result[name] for name in (*JUDGED, *ONCE) if name in result}
    ran = {"dtype": config["dtype"], "epochs": config["epochs"], "seconds": result["training_seconds"]}
    return {"contender": VARIANT, **about, **ran, "curve": curve(directory)}


def _epochs(directory, data_dir):
    """Those that the run was begun with, or what this machine has time for."""
    config = directory / "config.json"
    if config.exists():
        return json.loads(config.read_text())["epochs"]
    found, images = gan_speed.measured(PRESET, VARIANT, data_dir)
    return epochs_within(SECONDS, found["images_a_second"][gan_speed.OURS], images)


def keras_io(directory, data_dir):
    """The same of the DCGAN, judged by the classifier of that run."""
    out = directory.parent / "keras.json"
    if not out.exists():
        options = [f"--seconds={SECONDS}", f"--times={TIMES}", f"--seed={SEED}", f"--data-dir={data_dir}"]
        command = [sys.executable, "-m", "benchmarks.gan_keras", str(directory), *options, f"--out={out}"]
        subprocess.run(command, check=True)
    found = json.loads(out.read_text())
    last = found["curve"][-1]
    ran = {"dtype": "float32", "epochs": last["epoch"], "seconds": last["seconds"]}
    return {"contender": KERAS, **found["best"], **ran, "curve": found["curve"]}


def by_minutes(row):
    """The judgement nearest to each of `MINUTES`."""
    near = {minutes: min(row["curve"], key=lambda each: abs(each["seconds"] / 60 - minutes)) for minutes in MINUTES}
    return {f"{minutes} min": each["distance"] for minutes, each in near.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "runs")
    asked = parser.parse_args()
    directory = asked.runs / "gan_clock" / VARIANT
    rows = [train(directory, asked.data_dir) for train in (ours, keras_io)]
    distances = [{"contender": row["contender"], **by_minutes(row), "best": row["distance"]} for row in rows]
    print(table(distances))
    write("gan_clock", {"preset": PRESET, "distances": distances, "rows": rows})


if __name__ == "__main__":
    main()
