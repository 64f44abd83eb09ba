"""The directory of a run, a search or a comparison. Only these modules read and write its files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["names"],
    submod_attrs={
        "arrays": ["read_arrays"],
        "contents": ["config_of", "metrics_of", "peak_memory_of", "result_of", "write_peak_memory"],
        "directory": ["Directory", "read_directory"],
        "exports": ["export_path", "is_export_of", "model_hash", "new_export"],
        "files": ["finite_number", "may_be_damaged", "read_json", "write_file"],
        "json_text": ["finite", "text_of"],
        "pictures": ["pictures_of", "read_picture"],
        "run": ["Run"],
        "saved_model": ["load_model", "modules_of"],
        "saved_run": ["SavedRun"],
        "seed_directories": ["directories_of_seeds", "directory_of_seed"],
        "state": ["begin_with_bytes", "begin_with_state_of", "has_state", "state_bytes"],
        "tables": ["rows_of", "table"],
        "timing": ["seconds_of"],
    },
)
