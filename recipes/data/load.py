import pathlib

from recipes.data.cache import cached
from recipes.data.digits import digits
from recipes.data.folder import folder
from recipes.data.images import Images
from recipes.data.split import held_out
from recipes.data.tfds_images import tfds_images
from recipes.data_names import check_data_name
from recipes.errors import CommandError, WorldError

SHAPE = (32, 32, 3)


def load(name, *, shape=SHAPE, validation_split=0.1, train_images=None, seed=0, data_dir=None, download=False):
    """Load a set of labelled images in three parts.

    Args:
        name: "digits" (scikit-learn's), "cifar10", "tfds:NAME" (any image-classification set of tensorflow-datasets) or
            "folder:PATH" (a subfolder for each class).
        shape: `(height, width, channels)` that all images are brought to.
        validation_split: float in (0, 1), the share of each class of the training part that is held out.
        train_images: int, how many of the rest to train on, the same share of each class; by default all.
        seed: int, decides which images are held out.
        data_dir: directory of tensorflow-datasets; by default its own.
        download: bool. Allow a set of tensorflow-datasets to be downloaded if it is not there.

    Returns:
        `Images`.

    Raises:
        CommandError: no images can be meant by `name`, or there are fewer than `train_images`.
        WorldError: the images are not there or are damaged. Nothing else is taken in their place.

    Example:

    >>> from recipes.data import load
    >>> images = load("digits", validation_split=0.1, seed=0)
    >>> [len(y) for _, y in (images.train, images.validation, images.test)]
    [1293, 144, 360]
    """
    check_data_name(name)
    labelled = _read(name, shape, data_dir, download).checked(name, shape)
    x, y = labelled.train
    kept, held = held_out(y, min(max(round(validation_split * len(y)), 1), len(y) - 1), seed)
    if train_images is not None:
        if train_images > len(kept):
            raise CommandError(f"--train-images: {name} has {len(kept)} to train on; {train_images} were asked for")
        kept = kept[held_out(y[kept], train_images, [seed, 1])[1]]
    return Images(
        name, labelled.classes, (x[kept], y[kept]), (x[held], y[held]), labelled.test, labelled.origin, labelled.digest
    )


def _read(name, shape, data_dir, download):
    kind, _, rest = name.partition(":")
    if kind == "digits":
        return digits()
    if kind == "cifar10":
        return tfds_images("cifar10", shape, data_dir, download)
    if kind == "tfds":
        return tfds_images(rest, shape, data_dir, download)
    return _cached_folder(pathlib.Path(rest).expanduser(), name, shape)


def _cached_folder(path, name, shape):
    if not path.is_dir():
        raise WorldError(f"--data {name}: there is no directory {path}")
    return cached(path, name, shape, lambda: folder(path, shape))
