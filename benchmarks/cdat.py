"""CDAT beside constant learning rates, on a group-normalised network and 1,024 images of CIFAR-10, in float32.

The network is that of `cifar10_cnn` at half its width, trained by descent without momentum on the whole images in each
pass. What counts is the training loss after 300 passes, at the last point that was taken, where each probe of CDAT is a
pass too: it makes 149 updates where a constant rate makes 299. From five starts, the same for all. CDAT is that of
`BatchGD(line_search="cdat")`, with its own scale, with others, and without averages; the constant rates are eight, a
factor of two apart.

It also looks, at each update of the first start, at how well the curvature along the gradient that CDAT takes, by the
difference of two gradients, agrees with the product of the Hessian.

Each run is a line of a file, so that an interrupted benchmark goes on where it was. 40 minutes on one core.

    python -m recipes prepare cifar10 --archive cifar-10-binary.tar.gz
    python -m benchmarks.cdat
"""

import argparse
import json
import math
import os
import pathlib
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks.record import write
from callbacks import FullBatch
from callbacks.loss import Loss, untrained_variables
from custom_optimizers import BatchGD
from custom_optimizers.backend import backend_module
from custom_optimizers.line_search import CDAT
from recipes.data import load
from recipes.models import groupnorm

DATA, SHAPE, IMAGES = "cifar10", (32, 32, 3), 1024
WIDTHS, MICRO_BATCH = (8, 16, 32), 128  # channels; images at once, fastest on one core
PASSES, SEEDS = 300, (0, 1, 2, 3, 4)
RATES = tuple(2.0**power for power in range(-5, 3))
SCALES = (1.5, 2.0, 2.5)
LOOKS = 6  # at the loss, of a run
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def images(data_dir=None):
    """`(x, y)`: as many images of each class, float32 `(1024, 32, 32, 3)`."""
    x, y = load(DATA, shape=SHAPE, validation_split=0, train_images=IMAGES, data_dir=data_dir).train
    return x.astype("float32"), y.astype("int32")


def made(optimizer, seed):
    keras.utils.set_random_seed(seed)
    model = groupnorm(SHAPE, 10, widths=WIDTHS)
    model.compile(optimizer, CROSS_ENTROPY)
    return model


def optimizers():
    """`{name: function that makes an optimizer}` of all that are compared."""
    constant = {f"rate {rate:g}": lambda rate=rate: BatchGD(rate) for rate in RATES}
    scaled = {f"scale {scale:g}": lambda scale=scale: BatchGD(line_search=CDAT(scale)) for scale in SCALES}
    return {**constant, **scaled, "no averages": lambda: BatchGD(line_search=CDAT(smoothing=0))}


def losses(optimizer, seed, data):
    """`{passes: training loss then, at the last point that was taken}`; None where it is not finite."""
    between = PASSES // LOOKS
    callbacks = [FullBatch(passes_per_epoch=between)]
    found = made(optimizer, seed).fit(
        *data, batch_size=MICRO_BATCH, epochs=LOOKS, shuffle=False, verbose=0, callbacks=callbacks
    )
    known = [loss if math.isfinite(loss) else None for loss in map(float, found.history["loss"])]
    known += (LOOKS - len(known)) * known[-1:]  # a search that has ended stays where it is
    return {str(between * (i + 1)): loss for i, loss in enumerate(known)}


class Curvature:
    """The curvature of the loss along its gradient, by the Hessian.

    Args:
        model: compiled `keras.Model`.
        x, y: arrays of all samples.
    """

    def __init__(self, model, x, y):
        def gradients(weights, untrained, x, y):
            return Loss(model, untrained, x, y, None).gradients(weights)

        def product(weights, untrained, x, y, vectors):
            return Loss(model, untrained, x, y, None).hessian_product(weights, vectors)

        self._model, self._compiled = model, list(map(backend_module().compiled, (gradients, product)))
        self._parts = [(x[i : i + MICRO_BATCH], y[i : i + MICRO_BATCH]) for i in range(0, len(x), MICRO_BATCH)]

    def __call__(self):
        """`(g @ H @ g, g @ g)` at the weights that the model has, floats."""
        gradients, product = self._compiled
        kinds = self._model.trainable_variables, untrained_variables(self._model)
        values = [[keras.ops.copy(each) for each in kind] for kind in kinds]
        g = self._mean(gradients(*values, *part) for part in self._parts)
        hg = self._mean(product(*values, *part, g) for part in self._parts)
        return _dot(g, hg), _dot(g, g)

    def _mean(self, lists):
        """The mean over the parts of lists of tensors, which they have by their numbers of samples."""
        sizes = [len(y) for _, y in self._parts]
        of_parts = ([size / sum(sizes) * each for each in tensors] for size, tensors in zip(sizes, lists, strict=True))
        return [sum(each) for each in zip(*of_parts, strict=True)]


def _dot(one, other):
    arrays = ([keras.ops.convert_to_numpy(each).astype("float64") for each in tensors] for tensors in (one, other))
    return float(sum((a * b).sum() for a, b in zip(*arrays, strict=True)))


class Curvatures(keras.callbacks.Callback):
    """At each update, the curvature along the gradient: by the Hessian, and as CDAT takes it.

    The latter follows from the length of the step, which the averages of CDAT say.

    Args:
        of: `Curvature`.

    Attributes:
        pairs: list of `(exact, by differences)`.
    """

    def __init__(self, of):
        super().__init__()
        self._of, self._updates, self._before, self.pairs = of, 0, None, []
        self._square = self._curvature = None  # averages

    def on_epoch_end(self, epoch, logs=None):
        if self._before is None:
            self._before = self._of()
        elif logs["accepted"] > self._updates:
            self.pairs.append((self._before[0], self._taken(float(logs["step_size"]))))
            self._updates, self._before = logs["accepted"], self._of()

    def _taken(self, step):
        """The curvature that has made the average what it was for a step."""
        rule, square, before = self.model.optimizer.line_search, self._before[1], self._curvature
        kept, is_first = rule.smoothing, before is None
        self._square = square if is_first else kept * self._square + (1 - kept) * square
        self._curvature = rule.scale * self._square / step
        return self._curvature if is_first else (self._curvature - kept * before) / (1 - kept)


def agreement(data):
    """How far the curvatures of CDAT are from those by the Hessian, relative to these, along a run of the first start.

    Those of CDAT have no sign.
    """
    model = made(BatchGD(line_search="cdat"), SEEDS[0])
    watched = Curvatures(Curvature(model, *data))
    callbacks = [FullBatch(), watched]
    model.fit(*data, MICRO_BATCH, epochs=PASSES, shuffle=False, verbose=0, callbacks=callbacks)
    differences = [abs(taken / abs(exact) - 1) for exact, taken in watched.pairs]
    lower, median, upper = statistics.quantiles(differences, n=10, method="inclusive")[0::4]
    return {
        **{"updates": len(differences), "negative": sum(exact < 0 for exact, _ in watched.pairs)},
        **{"tenth": lower, "median": median, "nine_tenths": upper, "largest": max(differences)},
    }


def rows_of(path, data):
    """`{(name, seed): losses}`; those that are not in the file are computed and added."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = {(row["name"], row["seed"]): row["losses"] for row in map(json.loads, lines)}
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, make in optimizers().items():
        for seed in (seed for seed in SEEDS if (name, seed) not in rows):
            rows[name, seed] = losses(make(), seed, data)
            with path.open("a") as file:
                file.write(json.dumps({"name": name, "seed": seed, "losses": rows[name, seed]}) + "\n")
            print(f"{name}, start {seed}: {rows[name, seed]}", flush=True)
    return rows


def summary(rows):
    """The losses after all passes, and those of CDAT beside the best of the constant rates, from each start."""
    end = {name: [_or_infinity(rows[name, seed][str(PASSES)]) for seed in SEEDS] for name in optimizers()}
    half = [min(_or_infinity(rows[_rate(rate), seed][str(PASSES // 2)]) for rate in RATES) for seed in SEEDS]
    by_rate, by_scale = ([end[name(each)] for each in of] for name, of in ((_rate, RATES), (_scale, SCALES)))
    best, own, tuned = (
        list(map(min, zip(*by_rate, strict=True))),
        end[_scale(CDAT().scale)],
        list(map(min, zip(*by_scale, strict=True))),
    )
    middle = {name: statistics.median(each) for name, each in end.items()}
    chosen = min(RATES, key=lambda rate: middle[_rate(rate)])
    return {
        "losses": {name: [None if math.isinf(loss) else loss for loss in each] for name, each in end.items()},
        "best_rate": chosen,
        "best_rate_is_inside": chosen not in (RATES[0], RATES[-1]),
        "best_rates_of_starts": [RATES[np.argmin(each)] for each in zip(*by_rate, strict=True)],
        "best_scales_of_starts": [SCALES[np.argmin(each)] for each in zip(*by_scale, strict=True)],
        "cdat_to_best_rate": _ratios(own, best),
        "cdat_to_best_rate_best_scale": _ratios(tuned, best),
        "cdat_to_best_rate_same_updates": _ratios(own, half),
        "holds": statistics.median(own) <= statistics.median(best),
    }


def _rate(rate):
    return f"rate {rate:g}"


def _scale(scale):
    return f"scale {scale:g}"


def _or_infinity(loss):
    return math.inf if loss is None else loss


def _ratios(own, other):
    """Of each start, and their geometric mean."""
    each = [a / b for a, b in zip(own, other, strict=True)]
    return {"each": each, "mean": statistics.geometric_mean(each)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="of tensorflow-datasets, where CIFAR-10 is prepared")
    parser.add_argument("--rows", type=pathlib.Path, default=pathlib.Path("runs", "cdat.jsonl"))
    given = parser.parse_args()
    data = images(given.data_dir)
    settings = {"data": DATA, "images": IMAGES, "widths": WIDTHS, "passes": PASSES, "seeds": len(SEEDS)}
    found = summary(rows_of(given.rows, data))
    curvatures = agreement(data)
    print(json.dumps({**found, "curvature": curvatures}, indent=2))
    write("cdat", {"settings": settings, **found, "curvature": curvatures})


if __name__ == "__main__":
    main()
