import typing

import numpy as np


class Images(typing.NamedTuple):
    """A set of labelled images in three parts.

    Each part is `(x, y)`: uint8 `(n, height, width, channels)` and int32 `(n,)`. Schedules, early stopping and searches
    use the validation part. The test part is used once, at the end.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    origin: dict  # where they come from: paths, versions, hash of an archive
    digest: str  # SHA-256 of classes, pixels and labels, before the validation part was taken

    @property
    def train_size(self):
        """Number of images in the training part."""
        return len(self.train[1])

    def about(self):
        """What a run records about the images, a dict."""
        sizes = {part: len(getattr(self, part)[1]) for part in PARTS}
        return {"name": self.name, "classes": list(self.classes), **sizes, "origin": self.origin, "digest": self.digest}

    def sizes(self):
        """The number of images in each part, in words."""
        sizes = ", ".join(f"{len(getattr(self, part)[1]):,} for {use}" for part, use in PARTS.items())
        return f"{self.name}: {sizes}"

    def part(self, share):
        """The same set with the first images of each part only: a share of 0 to 1 of them."""

        def first(x, y):
            n = max(round(share * len(y)), 1)
            return x[:n], y[:n]

        return self._replace(**{part: first(*getattr(self, part)) for part in PARTS})


PARTS = {"train": "training", "validation": "validation", "test": "the test"}
