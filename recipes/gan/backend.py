import functools
import importlib

import keras

from recipes.errors import CommandError
from recipes.machine.processor import slower_by_xla
from recipes.machine.strategies import replicas

BACKENDS = ("tensorflow", "jax")


@functools.cache
def backend_module():
    """The module with the code for the backend: `_tensorflow` or `_jax`.

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


def check_backend():
    """Raise a CommandError if GANs cannot be trained on this backend, or on these devices."""
    try:
        backend_module()
        check_devices()
    except RuntimeError as error:
        raise CommandError(str(error)) from None


def jit_options():
    """Arguments of `compile`: no XLA on TensorFlow where it makes convolutions slower, on a processor."""
    return {"jit_compile": False} if slower_by_xla() else {}
