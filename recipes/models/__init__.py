"""Networks of the recipes: functions of the shape of images, the number of classes and a regularizer of kernels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "basic": ["basic"],
        "fast": ["fast"],
        "groupnorm": ["groupnorm"],
        "resnet18": ["resnet18"],
        "resnet9": ["resnet9"],
    },
)
