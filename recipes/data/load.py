import pathlib

import numpy as np

from recipes.data.cache import cached
from recipes.data.digits import digits
from recipes.data.folder import folder
from recipes.data.images import Images
from recipes.data.split import copies_of, held_out
from recipes.data.tfds_images import tfds_images
from recipes.errors import CommandError, WorldError, first_of
from recipes.settings.images import check_data_name
from recipes.settings.quantities import counted

SHAPE = (32, 32, 3)


def load(
    name,
    *,
    shape=SHAPE,
    validation_split=0.1,
    train_images=None,
    or_all=False,
    skip_broken=False,
    seed=0,
    data_dir=None,
    download=False,
):
    """Load a set of labelled images in three parts.

    Args:
        name: "digits" (scikit-learn's), "cifar10", "tfds:NAME" (any image-classification set of tensorflow-datasets) or
            "folder:PATH" (a subfolder for each class).
        shape: `(height, width, channels)` that all images are brought to.
        validation_split: float in [0, 1), the share of each class of the training part that is held out; copies of an
            image stay together; 0 for no validation part. It has no effect on a folder with a validation part.
        train_images: int, how many of the remaining images to train on, the same share of each class; by default all.
        or_all: bool, whether all are taken, and a line says so, where there are fewer than `train_images`.
        skip_broken: bool, whether images of a folder that cannot be read are left out, and a line says so.
        seed: int, decides which images are held out.
        data_dir: directory of tensorflow-datasets; by default its own.
        download: bool. Allow a set of tensorflow-datasets to be downloaded if it is not there.

    Returns:
        `Images`. If test images are copies of training images, a line says how many.

    Raises:
        CommandError: `name` names no images, or there are fewer than `train_images`, without `or_all`.
        WorldError: the images are not there or are damaged. Other images never replace them.

    Example:

    >>> from recipes.data import load
    >>> images = load("digits", validation_split=0.1, seed=0)
    >>> [len(y) for _, y in (images.train, images.validation, images.test)]
    [1293, 144, 360]
    """
    check_data_name(name)
    labelled = labelled_set(name, shape, data_dir, download, skip_broken).checked(name, shape)
    tell_of_skipped(name, labelled.origin.get("skipped", ()))
    _tell_of_copies(name, labelled)
    train, validation = _with_validation(labelled, validation_split, seed)
    if train_images is not None:
        train = _some(name, train, train_images, or_all, seed)
    return Images(name, labelled.classes, train, validation, labelled.test, labelled.origin, labelled.digest)


def _some(name, train, count, or_all, seed):
    """So many images of the training part, the same share of each class."""
    x, y = train
    if count > len(y) and not or_all:
        raise CommandError(f"--train-images: {name} has {len(y)} to train on; {count} were asked for")
    if count > len(y):
        print(f"{name} has {len(y)} images to train on, fewer than the {count} of the preset: all are taken.")
        return train
    rows = held_out(y, count, [seed, 1])[1]
    return x[rows], y[rows]


def _with_validation(labelled, share, seed):
    """The training part and the validation part, which is taken from it unless the source has one."""
    if labelled.validation is not None:
        return labelled.train, labelled.validation
    x, y = labelled.train
    if share == 0:
        return (x, y), (x[:0], y[:0])
    kept, held = held_out(y, min(max(round(share * len(y)), 1), len(y) - 1), seed, copies_of(x))
    return (x[kept], y[kept]), (x[held], y[held])


def _tell_of_copies(name, labelled):
    learnt = np.unique(copies_of(labelled.train[0]))
    known = int(np.isin(copies_of(labelled.test[0]), learnt).sum())
    if known:
        print(f"{known} of the {len(labelled.test[1])} test images of {name} are copies of training images.")


def tell_of_skipped(name, faults):
    """Print which images of a set were left out, if any were.

    Args:
        name: str, what the set is called.
        faults: sequence of str, why each of them cannot be read.
    """
    if faults:
        print(f"Skipped {counted(len(faults), 'image')} of {name}: {first_of(faults)}.")


def labelled_set(name, shape, data_dir=None, download=False, skip_broken=False):
    """The images of a set as their source gives them, `Labelled`; arguments as for `load`."""
    kind, _, rest = name.partition(":")
    if kind == "digits":
        return digits(shape)
    if kind == "cifar10":
        return tfds_images("cifar10", shape, data_dir, download)
    if kind == "tfds":
        return tfds_images(rest, shape, data_dir, download)
    path = existing(name)
    return cached(path, name, shape, lambda: folder(path, shape, skip_broken))


def existing(name):
    """The path of a set `folder:PATH`. Raises a WorldError if there is none."""
    path = pathlib.Path(name.partition(":")[2])
    if not path.is_dir():
        raise WorldError(f"--data {name}: there is no directory {path}")
    return path
