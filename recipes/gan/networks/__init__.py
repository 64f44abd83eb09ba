"""Networks of GANs, a file for each kind: `generator` and `discriminator`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["dcgan", "r3gan"])
