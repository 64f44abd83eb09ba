import functools
import importlib

import keras

from recipes.machine.processor import is_on_processor
from recipes.machine.strategies import replicas

BACKENDS = ("tensorflow", "jax")


@functools.cache
def backend_module():
    """The module with what depends on the backend: `_tensorflow` or `_jax`.

    Raises:
        RuntimeError: KERAS_BACKEND is neither.
    """
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise RuntimeError(f"GAN trains on TensorFlow and JAX. KERAS_BACKEND is '{backend}'.")
    return importlib.import_module(f"recipes.gan._{backend}")


def check_devices():
    """Raise a RuntimeError if devices of TensorFlow share a batch: each would draw the same noise as the others."""
    devices = replicas()
    if keras.backend.backend() == "tensorflow" and devices > 1:
        raise RuntimeError(
            f"GAN trains on one device of TensorFlow, or on several with KERAS_BACKEND=jax; here are {devices}"
        )


def jit_options():
    """Arguments of `compile`: XLA makes the convolutions of TensorFlow slower on a processor."""
    is_slower = keras.backend.backend() == "tensorflow" and is_on_processor()
    return {"jit_compile": False} if is_slower else {}
