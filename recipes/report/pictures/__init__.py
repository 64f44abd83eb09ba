"""Pictures: learning curves of a run, trials of a search, contenders of a comparison."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["comparison", "curves", "search"])
