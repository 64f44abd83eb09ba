"""Directories as commands leave them, without the trainings: what is written is written by what commands write with."""

import math

import numpy as np

from recipes import comparison as comparisons
from recipes import report
from recipes import run as runs
from recipes.cifar10_cnn import Cifar10CNN
from recipes.cifar10_gan import Cifar10GAN
from recipes.gan.grid import grid
from recipes.settings.presets import resolve
from recipes.tuning.search import Search

DIGITS = {"name": "digits", "classes": list("0123456789"), "train": 1437, "test": 360, "digest": "c2a9671a" * 8}
LABELS = (
    "batch",
    "sgd by_global_norm:1.0+centralize",
    "adam",
    "muon",
    "rmsprop",
    "momentum",
    "nesterov",
    "adagrad",
    "a",
)
JUDGED = {
    "distance": 0.13332204406168557,
    "class_entropy": 0.9999,
    "confidence": 0.989,
    "label_accuracy": 0.9903,
    "distance_floor": 0.1394,
    "distance_floor_deviation": 0.0283,
    "distance_over_floor": 0.9564,
    "nearest_training_image_of_test_images": 4.28327,
    "reference_images": 716,
    "generated_images": 721,
    "classifier": "three convolutions 3x3 of 32, 64, 64, ReLU, pooling; dense features, GELU; dense",
    "classifier_accuracy": 1.0,
    "classifier_features": 32,
    "classifier_dead_features": 0,
    "classifier_hash": "d5056d91ca78",
}


def gan(directory):
    recipe = resolve(Cifar10GAN, {"variant": "cgan_pd", "epochs": 40})
    with runs.Run(recipe, directory) as run:
        run.begin(DIGITS)
        run.write(
            "metrics.csv", lambda part: part.write_text(runs.table([_pass_of_a_gan(epoch) for epoch in range(40)]))
        )
        (directory / "samples").mkdir()
        for epoch in range(5, 41, 5):
            images = np.random.default_rng(epoch).integers(0, 256, (64, 8, 8, 1), "uint8")
            grid(images, 10).save(directory / "samples" / f"epoch-{epoch:04d}.png")
        run.finish({**JUDGED, "outcome": "finished", "epochs": 40, "updates": 880, "training_seconds": 39.7})


def _pass_of_a_gan(epoch):
    losses = {"discriminator_loss": 1 + 1 / (epoch + 1), "generator_loss": 0.5 + math.sin(epoch) / 10}
    outputs = {"real_output": 0.5, "fake_output": -0.5, "learning_rate": 0.001}
    judged = {"distance": 2 * 0.9**epoch, "class_entropy": 0.99, "confidence": 0.9, "label_accuracy": 0.95}
    return {"epoch": epoch, **losses, **outputs, **(judged if epoch % 5 == 4 else {})}


def search(directory):
    asked = Search("hyperband", 40, ("schedule", "learning_rate", "batch_size"))
    recipe = resolve(Cifar10CNN, {"optimizer": "momentum", "validation_split": 0.1, "epochs": 9})
    trials = sorted(map(_trial, range(40)), key=lambda row: -(row["score"] or 0))
    trials[:5] = [{**row, "rates": [0.1 * (i + 1), 0.2, 0.01]} for i, row in enumerate(trials[:5])]
    with runs.Run(recipe, directory, {"tuner": "hyperband", "metric": None}, kind="search") as run:
        run.begin_group()
        report.report_search(recipe, asked, trials, run)


def _trial(order):
    rate, failed = 10.0 ** (order % 7 - 4), order % 13 == 7
    schedule = ("warmup_cosine", "constant:until=0.5+linear:end=0.02")[order % 2]
    searched = {"schedule": schedule, "learning_rate": rate, "batch_size": 32, "gradient_accumulation_steps": "auto"}
    return {
        "trial": f"{order:04d}-0",
        "order": order,
        "configuration": order,
        "rung": 0,
        "epochs": (3, 9)[order % 2],
        "updates": 90,
        "cost": 9,
        "status": "FAILED" if failed else "COMPLETED",
        "score": None if failed else 0.9 - abs(math.log10(rate) + 1) / 10,
        "seconds": 1.5,
        "settings": {"optimizer": "momentum", **searched},
        "searched": searched,
        "message": "ValueError: an image of 4000 x 3000 pixels is not one of 32 x 32" if failed else None,
    }


def comparison(directory):
    contenders = tuple(comparisons.Contender(label, {}) for label in LABELS)
    asked = comparisons.Comparison(
        contenders, comparisons.parse_budget("epochs=20"), seeds=2, target=0.95, target_loss=0.1
    )
    recipe = resolve(Cifar10CNN, {"validation_split": 0.1})
    rows = [_training(label, seed) for label in LABELS for seed in (1, 2)]
    extra = {"contenders": {label: {} for label in LABELS}, "budget": "epochs=20", "target": 0.95, "target_loss": 0.1}
    with runs.Run(recipe, directory, extra, kind="comparison") as run:
        run.begin_group()
        for row in rows:
            place = directory / comparisons.Contender(row["contender"], {}).directory / f"seed-{row['seed']}"
            place.mkdir(parents=True)
            (place / "metrics.csv").write_text(
                runs.table([{"val_accuracy": each["val_accuracy"]} for each in row["curve"]])
            )
            (place / "timing.csv").write_text(runs.table([{"seconds": 0.4} for _ in row["curve"]]))
        report.report_comparison(recipe, asked, rows, run)


def _training(label, seed):
    last = 0.9 + 0.01 * LABELS.index(label) + 0.001 * seed
    curve = [{"val_accuracy": last * (1 - 0.8**epoch), "seconds": 0.4 * epoch} for epoch in range(1, 21)]
    return {
        "contender": label,
        "seed": seed,
        "learning_rate": 0.0029491,
        "score": last,
        "resolution": 0.0028,
        "rate_is": None,
        "loss": 0.03 / seed,
        "diverged": False,
        "epochs": 20,
        "updates": 2586,
        "seconds": 8.733,
        "passes": 20,
        "images": 29739,
        "peak_mib": 193.02,
        "clipped_share": 0.2934,
        "skipped_updates": 0.0,
        "evaluations": None,
        **dict.fromkeys(f"{each}_to_target" for each in ("epochs", "passes", "updates", "seconds")),
        **{"epochs_to_target_loss": 9, "passes_to_target_loss": 9, "seconds_to_target_loss": 3.6},
        "curve": curve,
    }
