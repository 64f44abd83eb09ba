"""One directory of a run, a search or a comparison: the only place that reads and writes its files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["event_files"],
    submod_attrs={
        "directory": ["Directory", "read_directory"],
        "files": ["figure", "may_be_damaged", "read_json", "write_file"],
        "json_text": ["finite", "text_of"],
        "run": ["Run"],
        "saved_model": ["load_model"],
        "saved_run": ["SavedRun"],
        "tables": ["rows_of", "table"],
        "timing": ["seconds_of"],
    },
)
