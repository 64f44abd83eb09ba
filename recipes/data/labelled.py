import hashlib
import typing

import numpy as np

from recipes.errors import WorldError


class Labelled(typing.NamedTuple):
    """Labelled images as their source gives them: a training part, a test part and perhaps a validation part."""

    classes: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    origin: dict  # as in `Images`
    validation: tuple[np.ndarray, np.ndarray] | None = None  # None: to be taken from the training part
    digest: str = ""

    def checked(self, name, shape):
        """The same images. Raises a WorldError of one line if a recipe cannot be trained on them."""
        if len(self.classes) < 2:
            raise WorldError(f"{name} has {len(self.classes)} class(es); a recipe needs 2 or more")
        for part, (x, y) in self.parts().items():
            if x.dtype != np.uint8 or x.shape != (len(y), *shape) or y.dtype != np.int32 or y.ndim != 1:
                raise WorldError(f"{name}: the {part} part is {x.dtype} {x.shape} with labels {y.dtype} {y.shape}")
            if len(y) == 0:
                raise WorldError(f"{name}: the {part} part has no images")
            if y.min() < 0 or y.max() >= len(self.classes):
                wrong = int(np.flatnonzero((y < 0) | (y >= len(self.classes)))[0])
                raise WorldError(
                    f"{name}: label {y[wrong]} of image {wrong} of the {part} part; labels lie in 0 to "
                    f"{len(self.classes) - 1}"
                )
        return self

    def with_digest(self):
        """The same with `digest`, a SHA-256 of all classes, images and labels."""
        sha = hashlib.sha256()
        sha.update("\n".join(self.classes).encode(errors="surrogateescape"))
        for x, y in self.parts().values():
            sha.update(np.ascontiguousarray(x))
            sha.update(np.ascontiguousarray(y))
        return self._replace(digest=sha.hexdigest())

    def parts(self):
        """Its parts that there are: a dict from their names to `(x, y)`."""
        parts = {"training": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}
