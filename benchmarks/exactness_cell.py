"""How far micro-batches are from the whole, on one backend with one kind of devices: a column of the exactness table.

    KERAS_BACKEND=jax python -m benchmarks.exactness_cell mirrored:4

Each row trains a small network for five updates with `BatchGD` and `FullBatch` in micro-batches, and with
`keras.optimizers.SGD` on all samples at once on one device, and compares the weights: ‖ours − whole‖ / ‖whole‖, the
largest over 1000 and 997 samples in micro-batches of 256 and 100. Then the same with the five updates in one epoch of
`FullBatch(passes_per_epoch=5)`; on JAX the larger of its two ways, a loop of Python and one of XLA. The last row is
Keras's own accumulation, of 997 samples in micro-batches of 256.
"""

import json
import os
import sys
from unittest import mock

from recipes.machine.backend import start_keras

EPOCHS, WHOLE, UNEVEN = 5, 1000, 997
BATCHES = (256, 100)
BOUND = 0.5  # below all norms that occur, so that clipping acts
ROWS = {  # name: (arguments of the optimizer, reduction of the loss)
    "plain": ({}, "sum_over_batch_size"),
    "loss that is a sum, with L2": ({"learning_rate": 1e-4}, "sum"),
    "clipping by global norm": ({"clipping": "by_global_norm"}, "sum_over_batch_size"),
    "clipping by norm": ({"clipping": "by_norm"}, "sum_over_batch_size"),
    "Nesterov, decay, EMA, cosine, clipping": (
        {
            "clipping": "by_global_norm",
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.01,
            "use_ema": True,
            "ema_momentum": 0.9,
            "ema_overwrite_frequency": 2,
            "learning_rate": "cosine",
        },
        "sum_over_batch_size",
    ),
}
MANY = "{}; in one epoch"
KERAS_ROW = "Keras's own accumulation, clipping"


def samples(n):
    """`n` random images 8×8×1 with labels 0 to 3 that depend on them."""
    import numpy as np

    x = np.random.default_rng(0).normal(size=(n, 8, 8, 1)).astype("float32")
    return x, (x.reshape(n, 2, 32).mean(axis=2) > 0) @ np.array([2, 1])


def compiled(optimizer, reduction):
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            layers.GroupNormalization(groups=2),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    model.compile(optimizer, loss, weighted_metrics=["accuracy"])
    return model


def optimizer(cls, arguments, **more):
    """`BatchGD`, or `keras.optimizers.SGD` with Keras's names for the clippers."""
    import keras

    from custom_optimizers import BatchGD, clipping

    arguments = {"learning_rate": 0.1, **arguments}
    if arguments["learning_rate"] == "cosine":
        arguments["learning_rate"] = keras.optimizers.schedules.CosineDecay(0.1, EPOCHS)
    clipper = arguments.pop("clipping", None)
    if clipper:
        ours = {"by_global_norm": clipping.ByGlobalNorm, "by_norm": clipping.ByNorm}[clipper]
        theirs = {"by_global_norm": "global_clipnorm", "by_norm": "clipnorm"}[clipper]
        arguments |= {"clipping": ours(BOUND)} if cls is BatchGD else {theirs: BOUND}
    return cls(**arguments, **more)


def flat(model):
    import numpy as np

    return np.concatenate([weight.ravel() for weight in model.get_weights()]).astype("float64")


def whole(row, n):
    """What SGD of Keras makes of all samples at once."""
    import keras

    arguments, reduction = ROWS[row]
    model = compiled(optimizer(keras.optimizers.SGD, arguments), reduction)
    model.run_eagerly = True  # nothing is asked of its graph
    before = flat(model)
    model.fit(*samples(n), batch_size=n, epochs=EPOCHS, shuffle=False, verbose=0)
    after = flat(model)
    if not relative(before, after) > 0.003:
        raise AssertionError(f"{row}: the reference has hardly moved, {relative(before, after)}")
    return after


def ours(row, n, batch_size, passes=1):
    from callbacks import FullBatch
    from custom_optimizers import BatchGD
    from recipes.data import full_batches

    arguments, reduction = ROWS[row]
    model = compiled(optimizer(BatchGD, arguments), reduction)
    data = full_batches(*samples(n), batch_size, reduction="sum" if reduction == "sum" else "mean")
    model.fit(data, epochs=EPOCHS // passes, shuffle=False, verbose=0, callbacks=[FullBatch(passes_per_epoch=passes)])
    return flat(model)


def farthest(reference, row, n, batch_size):
    """How far many passes in an epoch are from the whole, the largest over the ways that the backend has."""
    import keras

    found = [relative(ours(row, n, batch_size, EPOCHS), reference)]
    if keras.backend.backend() == "jax":  # on a processor XLA's loop is for networks without convolutions
        with mock.patch("callbacks.passes._jax.JaxPasses._has_slow_loops", return_value=False):
            found.append(relative(ours(row, n, batch_size, EPOCHS), reference))
    return max(found)


def of_keras(n, batch_size):
    """What Keras's accumulation makes of uneven micro-batches, or the name of its error."""
    import keras

    arguments, reduction = ROWS["clipping by global norm"]
    steps = -(-n // batch_size)
    model = compiled(optimizer(keras.optimizers.SGD, arguments, gradient_accumulation_steps=steps), reduction)
    try:
        model.fit(*samples(n), batch_size=batch_size, epochs=EPOCHS, shuffle=False, verbose=0)
    except Exception as error:  # whatever it is
        return type(error).__name__
    return flat(model)


def relative(a, b):
    import numpy as np

    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def measure(strategy, sizes=(WHOLE, UNEVEN), batches=BATCHES):
    """The largest relative difference of each row, over numbers of samples and batch sizes; a dict.

    Keras's own accumulation is that of the last number of samples, in batches of the first size.
    """
    from recipes.machine import strategies

    devices = strategies.resolve(strategy)
    reference = {(row, n): whole(row, n) for row in ROWS for n in sizes}
    with devices.scope():
        found = {
            row: max(relative(ours(row, n, batch), reference[row, n]) for n in sizes for batch in batches)
            for row in ROWS
        }
        many = {
            MANY.format(row): max(farthest(reference[row, n], row, n, batch) for n in sizes for batch in batches)
            for row in ROWS
        }
        theirs = of_keras(sizes[-1], batches[0])
    of = reference["clipping by global norm", sizes[-1]]
    return {**found, **many, KERAS_ROW: theirs if isinstance(theirs, str) else relative(theirs, of)}


def main():
    strategy, *sizes = sys.argv[1:]
    start_keras(strategy)
    import keras

    result = {
        "backend": keras.backend.backend(),
        "version": _version(),
        **measure(strategy, *([int(size)] for size in sizes)),
    }
    if os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") == "0":
        print(json.dumps(result))


def _version():
    import importlib.metadata

    return importlib.metadata.version(os.environ["KERAS_BACKEND"])


if __name__ == "__main__":
    main()
