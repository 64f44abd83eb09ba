"""Searches of settings with KerasTuner.

Names are looked up when they are asked for: the process that trials are forks of has to be able to import from here
before Keras is there.
"""

import importlib

_PLACES = {
    "Facts": "space",
    "Place": "trial",
    "RecipeHyperModel": "recipe_hyper_model",
    "StorageOracle": "storage.storage_oracle",
    "Tuner": "tuner",
}
__all__ = list(_PLACES)


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
