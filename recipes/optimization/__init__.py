"""Optimizers, clippers and learning rates, made of the names that settings have for them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "optimizers": ["build_optimizer", "has_momentum", "make_clippers", "make_optimizer"],
        "schedules": ["make_schedule", "shared_updates"],
    },
)
