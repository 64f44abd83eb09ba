"""Searches of settings, with KerasTuner: on one machine, or on many that share a database.

Modules are imported when a name in them is used, since the server that forks trials imports this before Keras.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["hypermodel_work", "work"],
    submod_attrs={
        "facts": ["Facts"],
        "objective": ["objective_of"],
        "place": ["Place"],
        "progress": ["Progress"],
        "recipe_hyper_model": ["RecipeHyperModel"],
        "search": ["Search"],
        "shared": ["Shared"],
        "storage.storage_oracle": ["StorageOracle"],
        "study": ["agree_on_space", "study_errors_in_one_line"],
        "trial": ["train_trial"],
        "trial_rows": ["best_of_each", "has_line_search", "ranked", "row_of"],
        "tune": ["check_models", "tune", "with_validation"],
        "tuner": ["Tuner"],
    },
)
