"""First-order methods for the two players of one GAN, on the digits: the same images for each, three seeds.

`cifar10_gan` without classes (spectral normalisation, hinge loss), 60 epochs of 22 steps. Each method has the learning
rate that came out best with seed 0 of four, or of more where the highest of four did; the same for both players. Then
three fresh seeds, judged every ten epochs, and the best judgement counts. Images are the budget and not seconds, so
that two are trained at a time.

What is finished is written to benchmarks/results/gan_optimizers.json, and not trained again.

    python -m benchmarks.gan_optimizers      # two hours on two cores
"""

import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import queue
import statistics
import subprocess
import sys

from benchmarks.record import read, write
from recipes import gan, training
from recipes.cifar10_gan import Cifar10GAN
from recipes.machine import dtypes
from recipes.machine.backend import start_keras
from recipes.optimization import make_schedule
from recipes.run import Run, load_model
from recipes.workers import cores_of

EPOCHS, JUDGED_EVERY, SEEDS = 60, 10, (1, 2, 3)
ADAM = (0.0005, 0.001, 0.002, 0.004)
DESCENT = (0.01, 0.03, 0.1, 0.3)
METHODS = {  # learning rates
    "adam": ADAM,
    "adam, simultaneous": ADAM,  # the others one player after the other
    "adam, clipped at a global norm of 1": ADAM,
    "adam, discriminator in full batches": ADAM,
    "descent": DESCENT,
    "descent, momentum -0.5": (*DESCENT, 1.0),
    "optimistic_gd": DESCENT,
    "normalized_gd": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
}


def optimizers(method, schedule, full, steps):
    """Of the generator and of the discriminator.

    Args:
        method: str of `METHODS`.
        schedule: learning rate by updates.
        full: the same over as many updates as there are epochs.
        steps: int, of an epoch.
    """
    import keras

    from custom_optimizers import Accumulate, BatchGD, NormalizedGD, OptimisticGD
    from custom_optimizers.clipping import ByGlobalNorm

    def adam(rate=schedule):
        return keras.optimizers.Adam(rate, beta_1=0.5)

    pairs = {
        "adam": lambda: (adam(), adam()),
        "adam, simultaneous": lambda: (adam(), adam()),
        "adam, clipped at a global norm of 1": lambda: [
            Accumulate(adam(), clipping=ByGlobalNorm(1.0)) for _ in range(2)
        ],
        "adam, discriminator in full batches": lambda: (
            adam(),
            Accumulate(adam(full), gradient_accumulation_steps=steps),
        ),
        "descent": lambda: [BatchGD(schedule) for _ in range(2)],
        "descent, momentum -0.5": lambda: [OptimisticGD(schedule, momentum=-0.5, optimism=0.0) for _ in range(2)],
        "optimistic_gd": lambda: [OptimisticGD(schedule) for _ in range(2)],
        "normalized_gd": lambda: [NormalizedGD(schedule, momentum=0.0, per="variable") for _ in range(2)],
    }
    return pairs[method]()


def trained(method, rate, seed, directory):
    """The judgement with the lowest distance, a dict; what runs in a process of its own.

    Args:
        method, rate, seed: what is trained.
        directory: of the classifier, which is trained if it is not there.
    """
    start_keras("cpu")
    turns = "simultaneous" if "simultaneous" in method else "alternating"
    recipe = Cifar10GAN.from_preset("cpu5", epochs=EPOCHS, judge_every=JUDGED_EVERY, seed=seed, turns=turns)
    images = recipe.load()
    updates = recipe.updates(images)
    judge = gan.Judge(_classifier(pathlib.Path(directory, "classifier.keras"), images), images, recipe.classes)
    run_dir = pathlib.Path(directory, f"{method}-{rate:g}-{seed}")
    with dtypes.policy("float32"), Run(recipe, run_dir) as run:
        run.begin(images.about())
        run.once("judge", lambda: judge)  # the same for all runs, and not one by a classifier of their own
        model = recipe.model(images)
        schedules = (make_schedule(recipe.schedule, rate, n) for n in (updates, EPOCHS))
        model.compile(*optimizers(method, *schedules, updates // EPOCHS), jit_compile=False)
        training.fit(recipe, run, images, model, verbose=0)
    with open(run_dir / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("distance")]
    best = min(rows, key=lambda row: float(row["distance"]))
    names = ("distance", "class_entropy", "confidence")
    return {**{name: float(best[name]) for name in names}, "floor": judge.floor}


def _classifier(path, images):
    """That of a file, in which it is left if it has to be trained first."""
    if path.exists():
        return gan.Classifier(load_model(path))
    classifier = gan.Classifier.trained(images)
    classifier.model.save(path)
    return classifier


class Study:
    def __init__(self, workers, directory):
        self.directory = directory
        self.rows = read("gan_optimizers").get("rows", [])
        self.cores = queue.SimpleQueue()
        for cores in cores_of(workers):
            self.cores.put(cores)

    def best_rate(self, method):
        mine = [row for row in self.rows if row["method"] == method and row["seed"] == 0]
        return min(mine, key=lambda row: row["distance"])["learning_rate"] if mine else None

    def train(self, job):
        """Train, unless that is done, and write all rows there are."""
        if job in [(row["method"], row["learning_rate"], row["seed"]) for row in self.rows]:
            return
        cores = self.cores.get()
        call = f"trained(*{job!r}, {str(self.directory)!r})"
        code = f"import json; from benchmarks.gan_optimizers import trained; print(json.dumps({call}))"
        try:
            done = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        finally:
            self.cores.put(cores)
        if done.returncode != 0:
            raise SystemExit(f"{job}: {done.stderr[-300:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        method, rate, seed = job
        self.rows.append({"method": method, "learning_rate": rate, "seed": seed, **found})
        print(f"{method}, {rate:g}, seed {seed}: {found['distance']:.3f}", flush=True)
        self.write()

    def write(self):
        medians = {method: self.median(method) for method in METHODS}
        write("gan_optimizers", {"epochs": EPOCHS, "medians": medians, "rows": self.rows})

    def median(self, method):
        rate = self.best_rate(method)
        mine = [row for row in self.rows if (row["method"], row["learning_rate"]) == (method, rate)]
        mine = [row for row in mine if row["seed"] in SEEDS]
        if not mine:
            return None
        distances = sorted(row["distance"] for row in mine)
        return {
            "n": len(mine),
            "learning_rate": mine[0]["learning_rate"],
            "distance": statistics.median(distances),
            "lowest": distances[0],
            "highest": distances[-1],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"), help="a directory of its own in it")
    workers = len(os.sched_getaffinity(0))
    study = Study(workers, parser.parse_args().runs.resolve() / "gan_optimizers")
    study.directory.mkdir(parents=True, exist_ok=True)
    study.train(("adam", ADAM[0], 0))  # and the classifier
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(study.train, [(method, rate, 0) for method, rates in METHODS.items() for rate in rates]))
        list(pool.map(study.train, [(method, study.best_rate(method), seed) for seed in SEEDS for method in METHODS]))


if __name__ == "__main__":
    main()
