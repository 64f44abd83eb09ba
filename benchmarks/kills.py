"""Does a run that is killed 20 times end with the bits of one that is not? SIGKILL at random moments.

Each process is killed some seconds after its start: while it imports, loads images, takes up the saved state, trains,
or writes. Weights, optimizer, metrics.csv and result are compared at the end.

    python -m benchmarks.kills
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from benchmarks.record import write
from callbacks.exact_resume import read_state

KILLS = 20
SECONDS = (2.0, 14.0)  # from start to kill
CONTENDERS = {
    "batch_gd, float32": ["--optimizer", "batch_gd", "--epochs", "1000"],
    "sgd, float32": ["--optimizer", "sgd", "--epochs", "1000"],
}
SETTINGS = ["--train-images", "600", "--early-stopping", "999", "--keep", "best"]


def bits(directory):
    """Weights, optimizer and metrics of a run, and its result but for the time it took."""
    about, arrays = read_state(directory / "state.npz")
    result = json.loads((directory / "result.json").read_text())
    result.pop("training_seconds")
    state = {name: (array.shape, array.tobytes()) for name, array in arrays.items()}
    return about["history"], state, (directory / "metrics.csv").read_bytes(), result


def start(directory, options):
    command = [sys.executable, "-m", "recipes", "train", "cifar10_cnn", *SETTINGS, *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--run-dir", str(directory)], **quiet, env=dict(os.environ))


def epochs_saved(directory):
    path = directory / "state.npz"
    return len(read_state(path)[0]["history"]) if path.exists() else 0


def killed_once(directory, options, generator):
    """The number of epochs saved after one kill, or None if the process was done before."""
    process = start(directory, options)
    while not epochs_saved(directory):
        time.sleep(0.05)
    try:
        process.wait(generator.uniform(*SECONDS))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return epochs_saved(directory)
    return None


def main():
    generator = random.Random(0)
    results = {}
    for name, options in CONTENDERS.items():
        with tempfile.TemporaryDirectory() as directory:
            undisturbed, killed = pathlib.Path(directory, "undisturbed"), pathlib.Path(directory, "killed")
            assert start(undisturbed, options).wait() == 0
            saved = []
            while len(saved) < KILLS:
                epochs = killed_once(killed, options, generator)
                assert epochs is not None, f"{name} was done after {len(saved)} kills; train longer"
                saved.append(epochs)
                print(f"{name}: kill {len(saved)}, {epochs} epochs saved", flush=True)
            assert start(killed, options).wait() == 0
            results[name] = {"kills": KILLS, "epochs_saved": saved, "identical": bits(killed) == bits(undisturbed)}
            print(f"{name}: identical bits after {KILLS} kills: {results[name]['identical']}")
    write("kills", results)
    assert all(each["identical"] for each in results.values())


if __name__ == "__main__":
    main()
