"""Prints how often XLA has compiled something by the end of each epoch of a search.

    KERAS_BACKEND=jax python -m tests.backends.compilations OPTIMIZER PASSES_PER_EPOCH

XLA leaves a file for each program that it compiles. It compiles one anew for each value of what it takes for constant,
such as an index, and that is none of the traces that TensorFlow counts.
"""

import json
import os
import pathlib
import sys
import tempfile

if __name__ == "__main__":
    DUMPED = tempfile.TemporaryDirectory(prefix="keras-descent-xla-")
    os.environ["XLA_FLAGS"] = f"--xla_dump_to={DUMPED.name} --xla_backend_optimization_level=0"

import keras
from keras import layers

from callbacks import FullBatch
from tests.backends.searching import SEARCHING
from tests.small import loss, samples


class Count(keras.callbacks.Callback):
    """Counts the programs by the end of each epoch."""

    def __init__(self, directory):
        super().__init__()
        self.directory, self.counts = pathlib.Path(directory), []

    def on_epoch_end(self, epoch, logs=None):
        programs = {path.name.split(".")[0] for path in self.directory.glob("module_*")}
        self.counts.append(len(programs))


def main(optimizer, passes):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, "tanh"), layers.Dense(4)])
    model.compile(SEARCHING[optimizer](), loss(), jit_compile=True)
    count = Count(DUMPED.name)
    x, y = samples(50)
    full = FullBatch(passes_per_epoch=int(passes))
    model.fit(x, y, batch_size=20, epochs=8, shuffle=False, verbose=0, callbacks=[full, count])
    json.dump({"counts": count.counts, "evaluations": model.optimizer.search.read()["evaluations"]}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
