"""Generative adversarial networks: the model, its losses, penalties, networks, augmentation and metrics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["losses", "metrics", "networks", "penalties"],
    submod_attrs={
        "backend": ["check_backend", "jit_options"],
        "classifier": ["Classifier"],
        "diff_augment": ["DiffAugment"],
        "gan": ["GAN"],
        "grid": ["grid", "some_of_each", "whole_rows"],
        "inception": ["Inception"],
        "judge": ["Judge"],
        "judged": ["Judged"],
        "sample_grid": ["SampleGrid"],
        "spectral_normalization": ["SpectralNormalization"],
    },
)
