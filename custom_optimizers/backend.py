import functools
import importlib

import keras

BACKENDS = ("tensorflow", "jax", "torch")


@functools.cache
def backend_module():
    """The module with everything that depends on the backend: `_tensorflow`, `_jax` or `_torch`.

    Raises:
        RuntimeError: KERAS_BACKEND is none of them.
    """
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise RuntimeError(
            f"custom_optimizers runs on the backends {', '.join(BACKENDS)} of Keras; KERAS_BACKEND is '{backend}'."
        )
    return importlib.import_module(f"custom_optimizers._{backend}")
