"""The fast CIFAR-10 recipe beside airbench94 in torch, in one run: steps, and time to accuracy.

Steps: processes that are all there take turns, so that each round has a few steps of every one. The recipe's network is
measured at its activation and batch size; torch's at the same activation, eager and compiled, at several batch sizes,
the fastest of which counts. Neither trains the bias of the whitening, which airbench does for 3 of its 9.9 epochs.
Large tensors that glibc hands back to the system at every step cost both time, torch more; the same is measured with
an allocator that keeps them (`KEEPS_MEMORY`, to be set before a process starts).

Training: three seeds of each, one after the other, on the 50,000 training images, judged with test-time augmentation
on the 10,000 of the test part. torch trains by the settings of airbench94 with its own activation, GELU.

    python -m benchmarks.cifar10 .venv-others/bin/python steps                          # ten minutes on two cores
    python -m benchmarks.cifar10 .venv-others/bin/python training --data-dir DIR        # 40 minutes

The first argument is a Python that has torch; TensorFlow is that of this one.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

from benchmarks.record import ratios, write
from recipes.cifar10_fast import Cifar10Fast
from recipes.machine.backend import start_keras

ROOT = pathlib.Path(__file__).parents[1]
ROUNDS, IMAGES, SEEDS = 5, 3000, 3  # images: of the steps of a round
TORCH = (("torch", 128), ("torch", 512), ("torch", 1024), ("torch compiled", 128), ("torch compiled", 512))
OURS, LIMIT, KEPT = "keras-descent", "TensorFlow's convolutions alone", ", memory kept"
KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)}


class Worker:
    """A process that makes training steps when it is told to.

    Args:
        python: path of an interpreter.
        module: str, `benchmarks.…`.
        backend: str, for KERAS_BACKEND.
        command: words after the module.
        batch_size: int.
        variables: dict, more of the environment.
    """

    def __init__(self, python, module, backend, command, batch_size, variables=()):
        self.batch_size = batch_size
        self.process = subprocess.Popen(
            [python, "-m", module, *command, "--batch-size", str(batch_size)],
            cwd=ROOT,
            env=environment(backend) | dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer("ready")

    def seconds_an_image(self):
        count = max(IMAGES // self.batch_size, 3)
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return float(self._answer()) / (count * self.batch_size)

    def _answer(self, expected=None):
        for line in self.process.stdout:
            if expected is None or line.strip() == expected:
                return line
        raise SystemExit(f"{self.process.args} ended")


def environment(backend):
    return {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}


def contenders(others):
    """Workers by name."""
    recipe = Cifar10Fast.from_preset()
    keras = sys.executable, "benchmarks.cifar10_keras", "tensorflow"
    torch = others, "benchmarks.cifar10_torch", "torch"
    steps = "steps", "--activation", recipe.activation
    made = {LIMIT: Worker(*keras, ("convolutions",), recipe.batch_size)}
    for kind, variables in (("", {}), (KEPT, KEEPS_MEMORY)):
        made[OURS + kind] = Worker(*keras, steps, recipe.batch_size, variables)
        for name, batch_size in TORCH:
            command = (*steps, "--compiled") if "compiled" in name else steps
            made[f"{name}, batch {batch_size}{kind}"] = Worker(*torch, command, batch_size, variables)
    return made


def throughput(others):
    """Images a second of every contender, and the recipe's beside the fastest of torch and beside the limit."""
    made = contenders(others)
    seconds = {name: [] for name in made}
    names = list(made)
    for each in range(ROUNDS):
        for name in names[each:] + names[:each]:  # nobody always comes behind the same one
            seconds[name].append(made[name].seconds_an_image())
    for worker in made.values():
        worker.process.kill()
    found = {"rounds": ROUNDS, "images_per_second": {n: 1 / statistics.median(each) for n, each in seconds.items()}}
    for kind in ("", KEPT):
        torch = [name for name in made if name.startswith("torch") and name.endswith(KEPT) == bool(kind)]
        fastest = min(torch, key=lambda name: statistics.median(seconds[name]))
        found |= {f"fastest of torch{kind}": fastest, f"times torch{kind}": ratios(seconds, fastest, OURS + kind)}
    return {**found, "share of the limit": ratios(seconds, LIMIT, OURS)}


def training(python, module, backend, data_dir, seed):
    """The last line of a training, a dict."""
    where = [] if data_dir is None else ["--data-dir", data_dir]
    command = [python, "-m", module, "train", *where, "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, env=environment(backend), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{module} {result}", flush=True)
    return result


def time_to_accuracy(others, data_dir):
    """Three trainings of each, in turns."""
    start_keras()
    Cifar10Fast.from_preset(data="cifar10").load(data_dir)  # into the cache of arrays
    runs = {"torch": [], OURS: []}
    for seed in range(SEEDS):
        runs[OURS].append(training(sys.executable, "benchmarks.cifar10_keras", "tensorflow", data_dir, seed))
        runs["torch"].append(training(others, "benchmarks.cifar10_torch", "torch", data_dir, seed))
    accuracy = {name: statistics.mean(run["test_accuracy_tta"] for run in each) for name, each in runs.items()}
    seconds = {name: [run["seconds"] for run in each] for name, each in runs.items()}
    return {
        "runs": runs,
        "mean_test_accuracy": accuracy,
        "points_above_torch": 100 * (accuracy[OURS] - accuracy["torch"]),
        "mean_seconds": {name: statistics.mean(each) for name, each in seconds.items()},
        "time_of_torch": ratios(seconds, OURS, "torch"),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("others")
    parser.add_argument("what", choices=("steps", "training", "all"), nargs="?", default="all")
    parser.add_argument("--data-dir")
    asked = parser.parse_args()
    if asked.what != "training":
        found = throughput(asked.others)
        print(json.dumps(found, indent=2), flush=True)
        write("cifar10_steps", found)
    if asked.what != "steps":
        found = time_to_accuracy(asked.others, asked.data_dir)
        print(json.dumps({name: value for name, value in found.items() if name != "runs"}, indent=2))
        write("cifar10_training", found)


if __name__ == "__main__":
    main()
