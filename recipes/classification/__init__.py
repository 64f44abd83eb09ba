"""What image classifiers share: the recipe that they are made of, settings that some have, losses, views, confusion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augmented": ["Augmented"],
        "blockwise": ["Blockwise"],
        "checked_network": ["checked_network"],
        "classification": ["Classification"],
        "confusion": ["confusion", "each_class"],
        "losses": ["probabilities", "targets", "with_loss"],
        "normalized": ["statistics"],
        "regularized": ["Regularized"],
        "views": ["each_view", "mean_of_views"],
    },
)
