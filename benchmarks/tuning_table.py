"""A table of real trainings that searches are replayed on (`benchmarks.tuning_replay`), so that they can be compared.

40 configurations of `cifar10_cnn` (schedule with its parameters, highest rate, momentum, clipping, batch size), each
with two seeds and three budgets:

    ours    trained from scratch for the budget, the schedule compressed to it, scored by the last epoch
    stock   as KerasTuner's Hyperband trains: the schedule is that of the longest budget; a promoted trial begins from
            the weights of its best epoch with a new optimizer, so that the schedule starts again; scored by the best
            epoch

`stock` has a row for each way to a budget: `2`, `2>8`, `2>8>32`, `8`, `8>32` (`32` is that of ours, by its best epoch).
All `ours` of a configuration and seed are a process of its own with one thread, and so are all `stock`; their rows are
written when they are there, and what is there is not trained again, so that it can be interrupted.

    python -m benchmarks.tuning_table digits                       # an hour on two cores
    python -m benchmarks.tuning_table cifar10 --data-dir DIR       # 8,000 images and 2,000 to score by, an hour

`cifar10_overfit` is `cifar10` without augmentation.
"""

import argparse
import dataclasses
import functools
import itertools
import json
import pathlib
import tempfile

import keras
import keras_tuner
import numpy as np

from benchmarks.record import write
from callbacks.write_whole import write_whole
from recipes.cifar10_cnn import Cifar10CNN
from recipes.errors import CommandError
from recipes.run import rows_of
from recipes.run import table as as_text
from recipes.tuning import Facts, Place, RecipeHyperModel, Shared, train_trial, work
from recipes.tuning.samplers import at_random
from recipes.workers import Processes, cores_of

CONFIGURATIONS, SEEDS = 40, 2
BUDGETS = {"digits": (2, 8, 32), "cifar10": (1, 4, 16), "cifar10_overfit": (1, 4, 16)}  # epochs
COMMON = {"optimizer": "momentum", "gradient_accumulation_steps": "1"}
REAL = {"data": "cifar10", "variant": "basic", "train_images": 8000, "validation_split": 0.04}  # 2,000 to score by
SETTINGS = {
    "digits": {**COMMON, "data": "digits", "validation_split": 0.5},
    "cifar10": {**COMMON, **REAL, "flip": "random", "translate": 4},
    "cifar10_overfit": {**COMMON, **REAL},
}
SPACE = "schedule,learning_rate=0.001:1.0,momentum,clipping,batch_size=32|64|128"
CHANCE = 0.1  # the score of a training that diverges
RESULTS = pathlib.Path(__file__).parent / "results"


def hypermodel_of(data, data_dir=None):
    recipe = Cifar10CNN(**SETTINGS[data], epochs=BUDGETS[data][-1])
    return RecipeHyperModel(recipe, SPACE, Facts(updates=20), data_dir)


def configurations(hypermodel):
    """The values of each configuration; number k depends on k alone."""
    space = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(space)
    return [at_random(space, [], [0, number]) for number in range(CONFIGURATIONS)]


def recipe_of(hypermodel, values, seed, epochs):
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return dataclasses.replace(hypermodel.recipe_of(hp), seed=seed, epochs=epochs)


def described(hypermodel, values):
    """What a configuration has of its own, in all of its trainings, as JSON."""
    recipe = recipe_of(hypermodel, values, seed=0, epochs=hypermodel.recipe.epochs)
    return json.dumps({name: getattr(recipe, name) for name in hypermodel.space})


def train_ours(shared, values, seed):
    """Rows of all budgets, each from scratch as a search trains them."""
    budgets, rows = BUDGETS[shared.hypermodel.recipe.data], []
    with tempfile.TemporaryDirectory() as directory:
        for epochs in budgets:
            recipe = recipe_of(shared.hypermodel, values, seed, epochs)
            row = {"kind": "ours", "way": str(epochs), "epochs": epochs}
            try:
                trained = train_trial(recipe, directory, shared.place, budgets[-1], shared.hypermodel.data)
                lines = rows_of(pathlib.Path(directory, f"epochs-{epochs}", "metrics.csv"))
                best = max(float(line["val_accuracy"]) for line in lines)
                row |= {"trained_epochs": trained["trained_epochs"], "score": trained["val_accuracy"], "best": best}
            except CommandError:  # it diverged
                row |= {"trained_epochs": epochs, "score": CHANCE, "best": CHANCE}
            rows.append(row)
    return {"rows": rows}


def train_stock(shared, values, seed):
    """Rows of all ways to a budget."""
    budgets = BUDGETS[shared.hypermodel.recipe.data]
    rows = []
    for first in range(len(budgets) - 1):
        rows += _way(shared, recipe_of(shared.hypermodel, values, seed, budgets[-1]), budgets[first:])
    return {"rows": rows}


def _way(shared, recipe, budgets):
    rows, weights, done = [], None, 0
    for number, epochs in enumerate(budgets):
        keras.utils.clear_session()
        model = recipe.model(shared.hypermodel.data)
        if weights is not None:
            model.set_weights(weights)  # the optimizer begins anew
        score, best, weights = _trained(model, recipe, shared.hypermodel.data, done, epochs)
        way = ">".join(map(str, budgets[: number + 1]))
        row = {"kind": "stock", "way": way, "epochs": epochs, "trained_epochs": epochs - done, "score": score}
        rows.append({**row, "best": best})
        done = epochs
    return rows


def _trained(model, recipe, images, begin, end):
    """Train from one epoch to another: score of the last, the best, and the weights of the best."""
    keep = _Best()
    batches = recipe.batches(images)
    history = model.fit(
        batches.dataset(first_epoch=begin),
        steps_per_epoch=batches.num_batches,
        initial_epoch=begin,
        epochs=end,
        validation_data=images.validation,
        validation_batch_size=recipe.batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[keep],
    ).history
    pairs = zip(history["val_accuracy"], history["val_loss"], strict=True)
    scores = [score if np.isfinite(loss) else CHANCE for score, loss in pairs]
    return scores[-1], max(scores), keep.weights


class _Best(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, as KerasTuner's `SaveBestEpoch` does."""

    def __init__(self):
        super().__init__()
        self.score, self.weights = -1.0, None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.score:
            self.score, self.weights = logs["val_accuracy"], self.model.get_weights()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=BUDGETS)
    parser.add_argument("--data-dir")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--configurations", type=int, default=CONFIGURATIONS)
    asked = parser.parse_args()
    hypermodel = hypermodel_of(asked.data, asked.data_dir)
    values = configurations(hypermodel)
    table = RESULTS / f"tuning_table_{asked.data}.csv"
    settings = [described(hypermodel, each) for each in values]
    there = written(table, settings)
    kinds = {"ours": train_ours, "stock": train_stock}
    jobs = [job for job in itertools.product(range(asked.configurations), range(SEEDS), kinds) if job not in there]
    shared = Shared(hypermodel, Place("cpu", "float32", asked.data_dir))
    with Processes(shared, "cpu") as processes, tempfile.TemporaryDirectory() as logs:
        processes.share(work.load_data)

        def start(number, slot):
            configuration, seed, kind = jobs[number]
            train = functools.partial(kinds[kind], values=values[configuration], seed=seed)
            processes.start(number, train, f"{logs}/{slot}.txt", cores_of(asked.workers)[slot])

        slots = {number: number for number in range(min(asked.workers, len(jobs)))}
        for number, slot in slots.items():
            start(number, slot)
        waiting = iter(range(len(slots), len(jobs)))
        while slots:
            for ended in processes.ended(1):
                if ended.error is not None:
                    raise SystemExit(f"{jobs[ended.number]}: {ended.error}")
                configuration, seed, _ = jobs[ended.number]
                about = {"configuration": configuration, "schedule": values[configuration]["schedule"]}
                about |= {"settings": settings[configuration], "seed": seed}
                add(table, [{**about, **row} for row in ended.answer["rows"]])
                print(f"{ended.number + 1} of {len(jobs)}", flush=True)
                slot = slots.pop(ended.number)
                number = next(waiting, None)
                if number is not None:
                    slots[number] = slot
                    start(number, slot)
    write(
        f"tuning_table_{asked.data}",
        {"configurations": asked.configurations, "seeds": SEEDS, "rows": len(rows_of(table))},
    )


def written(table, settings):
    """The trainings that a table has: a set of (configuration, seed, kind).

    Args:
        table: `pathlib.Path`.
        settings: list of str, as `described` gives them, by configuration.

    Raises:
        SystemExit: it is of other configurations, whose rows would stand among these.
    """
    there = set()
    for row in rows_of(table):
        configuration = int(row["configuration"])
        if row["settings"] != settings[configuration]:
            raise SystemExit(f"{table}: configuration {configuration} was {row['settings']}; move the table away")
        there.add((configuration, int(row["seed"]), row["kind"]))
    return there


def add(table, rows):
    """Add the rows of one training; the file is written whole."""
    write_whole(table, lambda part: part.write_text(as_text([*rows_of(table), *rows])))


if __name__ == "__main__":
    main()
