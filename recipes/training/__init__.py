"""One training: a `fit` that is recorded and resumed, with a seed or several, measured before it is made or probed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={"contract"},
    submod_attrs={
        "begin_with": ["check_weights"],
        "check_search": ["check_search"],
        "computing": ["computing", "devices_for", "settled_dtype"],
        "dry_run": ["dry_run"],
        "find_rates": ["find_rates"],
        "fit": ["fit", "kept_bytes"],
        "interval": ["interval", "is_share"],
        "outcomes": ["DIVERGED", "FINISHED", "STOPPED_EARLY"],
        "seeds": ["table_of", "train_seeds"],
        "train": ["train", "train_and_judge"],
    },
)
