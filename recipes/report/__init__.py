"""Pages, model cards, pictures and tables about runs, searches and comparisons."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compared": ["budget_lines", "cells_of", "end_lines", "noise_lines", "report_comparison"],
        "model_card": ["write_model_card"],
        "pictures": ["comparison", "search"],
        "pictures.curves": ["curves", "write_curves"],
        "searched": ["report_search"],
        "write_report": ["write_report"],
    },
)
