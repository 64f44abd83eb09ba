import os

from recipes.errors import WorldError
from recipes.quiet import load_tensorflow


def start_keras():
    """Import what trains: Keras on the TensorFlow backend, and pictures that go to files."""
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise WorldError(f"recipes train on the TensorFlow backend so far; KERAS_BACKEND is '{backend}'")
    os.environ["MPLBACKEND"] = "agg"  # whatever is set for windows
    load_tensorflow()
