"""Networks of GANs, a file for each kind: `generator` and `discriminator`."""
