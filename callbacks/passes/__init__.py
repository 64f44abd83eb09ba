"""Many passes over the data in one call of compiled code: a module for each backend."""

import importlib

import keras


def make(*about):
    """The train function of many passes for the backend that Keras computes with; arguments as of `Passes`."""
    backend = keras.backend.backend()
    module = importlib.import_module(f"{__name__}._{backend}")
    return getattr(module, f"{backend.capitalize()}Passes")(*about)
