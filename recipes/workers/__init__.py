"""Processes for trials: each is forked by a server, which has imported Keras and has not touched a device.

Modules are imported when a name in them is used, since the server imports this before Keras.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "hardware": ["cores_of", "gpus_of"],
        "processes": ["Processes"],
        "requests": ["BUG", "DEATH", "SETTINGS", "WORLD"],
    },
)
