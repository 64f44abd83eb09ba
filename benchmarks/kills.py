"""Does a run that is killed 20 times end with the bits of one that is not? SIGKILL at random moments.

Each process is killed some seconds after its start: while it imports, loads images, takes up the saved state, trains,
or writes. Weights, optimizers, metrics.csv and result are compared at the end; those of a GAN too, whose result is that
of the best model it has kept.

    python -m benchmarks.kills          # or: python -m benchmarks.kills gan
    KERAS_BACKEND=torch python -m benchmarks.kills passes
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from benchmarks.record import read, write
from callbacks.exact_resume import read_state

KILLS = 20
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
CNN = ["cifar10_cnn", "--train-images", "600", "--early-stopping", "999", "--keep", "best", "--epochs", "1000"]
GAN = ["cifar10_gan", "--preset", "cpu5", "--train-images", "300", "--judge-every", "5", "--epochs", "600"]
CONTENDERS = {  # command, seconds from start to kill
    "batch_gd, float32": ([*CNN, "--optimizer", "batch_gd"], (2.0, 14.0)),
    "batch_gd, 10 passes in an epoch": ([*CNN, "--passes-per-epoch", "10", "--epochs", "200"], (2.0, 14.0)),
    "sgd, float32": ([*CNN, "--optimizer", "sgd"], (2.0, 14.0)),
    "gan, with classes": ([*GAN, "--variant", "cgan_pd"], (3.0, 24.0)),
}


def bits(directory):
    """Weights, optimizer and metrics of a run, and its result but for the time it took."""
    about, arrays = read_state(directory / "state.npz")
    result = json.loads((directory / "result.json").read_text())
    result.pop("training_seconds")
    state = {name: (array.shape, array.tobytes()) for name, array in arrays.items()}
    return about["history"], state, (directory / "metrics.csv").read_bytes(), result


def start(directory, options):
    command = [sys.executable, "-m", "recipes", "train", *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--run-dir", str(directory)], **quiet, env=dict(os.environ))


def epochs_saved(directory):
    path = directory / "state.npz"
    return len(read_state(path)[0]["history"]) if path.exists() else 0


def killed_once(directory, options, seconds):
    """The number of epochs saved after one kill, or None if the process was done before."""
    process = start(directory, options)
    while not epochs_saved(directory):
        time.sleep(0.05)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return epochs_saved(directory)
    return None


def killed(name, options, seconds):
    """What becomes of a run that is killed, beside one that is not: a dict."""
    generator, saved = random.Random(0), []
    with tempfile.TemporaryDirectory() as directory:
        one, other = pathlib.Path(directory, "undisturbed"), pathlib.Path(directory, "killed")
        assert start(one, options).wait() == 0
        while len(saved) < KILLS:
            epochs = killed_once(other, options, generator.uniform(*seconds))
            assert epochs is not None, f"{name} was done after {len(saved)} kills; train longer"
            saved.append(epochs)
            print(f"{name}: kill {len(saved)}, {epochs} epochs saved", flush=True)
        assert start(other, options).wait() == 0
        return {"kills": KILLS, "epochs_saved": saved, "identical": bits(other) == bits(one)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of what is killed; all by default")
    asked = parser.parse_args().names
    results = {name: each for name, each in read("kills").items() if name.startswith(tuple(CONTENDERS))}
    for name, (options, seconds) in CONTENDERS.items():
        if not asked or any(part in name for part in asked):
            label = name if BACKEND == "tensorflow" else f"{name}, on {BACKEND}"
            results[label] = killed(label, options, seconds)
            print(f"{label}: identical bits after {KILLS} kills: {results[label]['identical']}", flush=True)
            write("kills", results)
    assert all(each["identical"] for each in results.values())


if __name__ == "__main__":
    main()
