"""Many passes over the data in one call of compiled code: a module for each backend."""

import importlib

import keras


def make(model, optimizer, count, prepare, around_step):
    """A train function of `fit` that makes `count` passes in one call. `fit` gives it an `Epoch` of `inside_keras`.

    Args:
        prepare: function that is called before the passes with the number of micro-batches in each.
        around_step: `around_step` of the callback that makes the passes; None where others change the step too.
    """
    module = importlib.import_module(f"{__name__}._{keras.backend.backend()}")
    return module.Passes(model, optimizer, count, prepare, around_step)
