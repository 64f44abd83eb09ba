"""Does a run that is killed 20 times end with the bits of one that is not? SIGKILL at random moments.

Each process is killed some seconds after its start: while it imports, loads images, takes up the saved state, trains,
or writes. Weights, optimizers, metrics.csv and result are compared at the end; those of a GAN too, whose result is that
of the best model it has kept. What searches is also killed in the middle of line searches: every fourth process goes on
until the saved state is one in which the last points were rejected. The hand-over of the switch is in the middle of an
epoch of two passes.

    python -m benchmarks.kills          # or: python -m benchmarks.kills gan
    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python -m benchmarks.kills lbfgs
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
from custom_optimizers.line_search import StrongWolfe

KILLS = 20
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
CNN = ["cifar10_cnn", "--train-images", "600", "--early-stopping", "999", "--keep", "best", "--epochs", "1000"]
GAN = ["cifar10_gan", "--preset", "cpu5", "--train-images", "300", "--judge-every", "5", "--epochs", "600"]
IMAGES = "300" if BACKEND == "tensorflow" else "60"  # convolutions of the others take longer with two cores
LBFGS = ["--optimizer", "lbfgs:history=2", "--train-images", IMAGES, "--loss", "mse", "--l2", "1e-4"]
DENSE = ["benchmarks.killed_cnn:KilledCNN", "--early-stopping", "9999", "--keep", "best", "--label-smoothing", "0.1"]
DENSE += [
    "--passes-per-epoch",
    "2",
    "--epochs",
    {"torch": "700", "jax": "1500", "tensorflow": "2500"}[BACKEND],
    "--optimizer",
]
CONTENDERS = {  # command, seconds from start to kill
    "batch_gd, float32": ([*CNN, "--optimizer", "batch_gd"], (2.0, 14.0)),
    "batch_gd, 10 passes in an epoch": ([*CNN, "--passes-per-epoch", "10", "--epochs", "200"], (2.0, 14.0)),
    "sgd, float32": ([*CNN, "--optimizer", "sgd"], (2.0, 14.0)),
    "lbfgs, 3 passes in an epoch": ([*CNN, *LBFGS, "--passes-per-epoch", "3", "--epochs", "500"], (2.0, 14.0)),
    "lbfgs, float32": ([*CNN, *LBFGS, "--epochs", "1500"], (2.0, 14.0)),
    "self_scaled_broyden, 2 passes in an epoch": ([*DENSE, "self_scaled_broyden"], (2.0, 9.0)),
    "switch, 2 passes in an epoch": ([*DENSE, "switch:adam,then=self_scaled_broyden,after=301"], (2.0, 9.0)),
    "gan, with classes": ([*GAN, "--variant", "cgan_pd"], (3.0, 24.0)),
}
SEARCHES = ("lbfgs", "self_scaled_broyden", "switch")  # how the names begin of what has line searches


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


def rejected_points(directory):
    """How many points the line search of the saved state has rejected since it began; 0 without a line search."""
    about, arrays = read_state(directory / "state.npz")
    names = [name for name, *_ in about["variables"]]
    if "numbers" not in names:
        return 0
    numbers = arrays[f"variable_{names.index('numbers')}"]
    return int(numbers[StrongWolfe().state_names.index("evaluated")])


def killed_once(directory, options, seconds, in_a_search=False):
    """What was saved at one kill, a dict; None if the process was done before.

    Args:
        directory: path of the run.
        options: list of str, of the command.
        seconds: float, from the start to the kill.
        in_a_search: bool, whether the kill waits until the process has saved a state in the middle of a line search.
    """
    process, before = start(directory, options), epochs_saved(directory)
    while not epochs_saved(directory):
        time.sleep(0.05)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        while in_a_search and process.poll() is None:
            if epochs_saved(directory) > before and rejected_points(directory):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            return {"epochs_saved": epochs_saved(directory), "rejected_points": rejected_points(directory)}
    return None


def killed(name, options, seconds):
    """What becomes of a run that is killed, beside one that is not: a dict."""
    generator, found, has_searches = random.Random(0), [], name.startswith(SEARCHES)
    with tempfile.TemporaryDirectory() as directory:
        one, other = pathlib.Path(directory, "undisturbed"), pathlib.Path(directory, "killed")
        assert start(one, options).wait() == 0
        while len(found) < KILLS:
            in_a_search = has_searches and len(found) % 4 == 3
            saved = killed_once(other, options, generator.uniform(*seconds), in_a_search)
            assert saved is not None, f"{name} was done after {len(found)} kills; train longer"
            found.append(saved)
            print(f"{name}: kill {len(found)}, {saved}", flush=True)
        assert start(other, options).wait() == 0
        of_searches = {"rejected_points": [each["rejected_points"] for each in found]} if has_searches else {}
        saved = [each["epochs_saved"] for each in found]
        return {"kills": KILLS, "epochs_saved": saved, **of_searches, "identical": bits(other) == bits(one)}


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
