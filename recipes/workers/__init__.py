"""Processes that are used once: each is a fork of one that has imported Keras and touched no device.

That process imports from here before Keras is there, so names are looked up when they are asked for.
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
