import hashlib
import itertools
import os
import pathlib
import warnings

import numpy as np

from recipes.data.files import files_under
from recipes.data.labelled import Labelled
from recipes.data.to_shape import to_shape
from recipes.errors import WorldError, first_of, one_line
from recipes.machine.regular_file import open_regular
from recipes.settings.quantities import counted

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
TEST_SHARE = 0.2
PARTS = {  # names of folders that hold one part each; upper and lower case are the same
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def folder(path, shape, skip_broken=False):
    """Images of a directory with a subfolder for each class, of any sizes and formats.

    Classes are numbered in the order of their names. If all subfolders have the names of parts (`train`, `test`, and
    `val` or `validation`, in any case), each of them has a subfolder for each class; with `train` and `val` alone,
    `val` is the test part. Otherwise one image in five of each class is in the test part. It is chosen by the hash of
    its file, so that copies of a file stay together, and that hardly any image changes its part when others are added.

    Files with the endings of images (.png .jpg .jpeg .bmp .gif .webp .tif .tiff) are read; other files and hidden files
    are ignored.

    Args:
        path: the directory.
        shape: `(height, width, channels)` that images are brought to by `to_shape`.
        skip_broken: bool, whether files that cannot be read are left out; `origin` of what is returned has them.

    Returns:
        `Labelled`.

    Raises:
        WorldError: there are no classes, a class has fewer than 3 images, or files cannot be read, all of which have
            been looked at.
    """
    labelled, faults = folder_with_faults(path, shape)
    if faults and not skip_broken:
        raise unreadable(path, faults)
    if faults:
        _check_all_are_left(path, labelled)
    return labelled


def unreadable(path, faults):
    """The WorldError for images that cannot be read.

    Args:
        path: the directory.
        faults: list of str, why each of them cannot be read.
    """
    what = f"{counted(len(faults), 'image')} of {path} cannot be read"
    return WorldError(f"{what}: {first_of(faults)}; remove or replace them, or give --skip-broken")


def folder_with_faults(path, shape):
    """The images of a folder that can be read, and why others cannot.

    Returns:
        `(labelled, faults)`: `Labelled`, and a list of str, a line for each file that is left out.

    Raises:
        WorldError: there are no classes, or a class has fewer than 3 files.
    """
    path, faults = pathlib.Path(path), []
    classes, files = _parts(path, _folders(path))
    read = {part: _read(paths, shape, faults) for part, paths in files.items()}
    origin = {"folder": str(path), "images": sum(len(y) for _, y in read.values())}
    return Labelled(classes, **read, origin=origin | ({"skipped": faults} if faults else {})), faults


def every_image(path, shape):
    """All images of a folder, to judge a model by: those of its test part if it has parts, else all there are.

    Args:
        path, shape: as for `folder`. A class may have any number of images.

    Returns:
        `(classes, (x, y), faults)`, the last as `folder_with_faults` has it.

    Raises:
        WorldError: there is no image.
    """
    path, faults = pathlib.Path(path), []
    folders = _folders(path)
    parts = {PARTS.get(each.name.lower()): each for each in folders}
    where = parts.get("test") or parts.get("validation")
    if None not in parts and where is not None:
        if len(parts) < len(folders):
            raise WorldError(f"{path} has two folders for one part: {', '.join(each.name for each in folders)}")
        folders = _folders(where.path)
    files = [image_files(each.path) for each in folders]
    if not any(files):
        raise WorldError(f"{path} has no image in a subfolder for its class ({' '.join(ENDINGS)})")
    return tuple(each.name for each in folders), _read(files, shape, faults), faults


def _check_all_are_left(path, labelled):
    """Raise a WorldError for a class of which no image is left in a part."""
    for part, (_, y) in labelled.parts().items():
        for label, count in enumerate(np.bincount(y, minlength=len(labelled.classes))):
            if not count:
                raise WorldError(f"{path}: no {part} image of class '{labelled.classes[label]}' can be read")


def image_files(directory):
    """The paths of all files under a directory that have the ending of an image, a list in their order."""
    return [file for file, _ in files_under(directory) if file.suffix.lower() in ENDINGS]


def read_image(path, shape):
    """Read one image file as a uint8 array of that shape.

    Raises:
        WorldError: the file is not an image, is damaged, or would unpack to something enormous.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # odd metadata
            with open_regular(path) as file, Image.open(file, formats=FORMATS) as image:
                image.load()
                return to_shape(ImageOps.exif_transpose(image), shape)
    except Exception as error:  # PIL raises many kinds for a damaged file
        said = getattr(error, "strerror", None) or one_line(error).partition(" <_io.")[0]  # it names the open file
        raise WorldError(f"{path}: {said}") from error


def _folders(path):
    return sorted((e for e in os.scandir(path) if e.is_dir() and not e.name.startswith(".")), key=lambda e: e.name)


def _parts(path, folders):
    """Names of the classes, and for each part the paths of the images of each class."""
    parts = {PARTS.get(each.name.lower(), each.name): pathlib.Path(each.path) for each in folders}
    if not parts or not set(parts) <= set(PARTS.values()):
        _check_no_parts(path, folders)
        classes, files = _files(path, folders)
        return classes, _split(files)
    if len(parts) < len(folders) or "train" not in parts or len(parts) == 1:
        raise WorldError(f"{path} has the parts {', '.join(e.name for e in folders)}; it needs train, and test or val")
    if "test" not in parts:
        parts["test"] = parts.pop("validation")
    found = {part: _files(where, _folders(where)) for part, where in parts.items()}
    classes = found["train"][0]
    for part, (others, _) in found.items():
        strange = sorted(set(classes) ^ set(others))
        if strange:
            raise WorldError(
                f"{path}: class '{strange[0]}' is not in both of {parts['train'].name} and {parts[part].name}"
            )
    return classes, {part: files for part, (_, files) in found.items()}


def _check_no_parts(path, folders):
    """Raise a WorldError where the names of parts stand among others: one may be that of a class, such as of trains."""
    parts = [each.name for each in folders if each.name.lower() in PARTS]
    if len(parts) > 1:
        other = next(each.name for each in folders if each.name not in parts)
        raise WorldError(f"{path} has the parts {', '.join(parts)}, and {other} beside them; move {other} elsewhere")


def _files(path, folders):
    """Names of the classes, and for each the paths of its images."""
    if len(folders) < 2:
        raise WorldError(f"{path} has {len(folders)} subfolder(s); it needs one for each of 2 or more classes")
    files = [image_files(each.path) for each in folders]
    for each, found in zip(folders, files, strict=True):
        if len(found) < 3:
            raise WorldError(f"{each.path} has {len(found)} image(s); a class needs 3 or more ({' '.join(ENDINGS)})")
    return tuple(each.name for each in folders), files


def _split(files):
    """The files of each class in two parts: `train` and `test`."""
    train, test = [], []
    for paths in files:
        copies = {}
        for each in paths:
            copies.setdefault(hashlib.sha256(each.read_bytes()).digest(), []).append(each)
        if len(copies) < 3:
            raise WorldError(f"{paths[0].parent} has {len(copies)} different image(s); a class needs 3 or more")
        ranked = [copies[digest] for digest in sorted(copies)]
        count = max(round(TEST_SHARE * len(ranked)), 1)
        test.append(sorted(itertools.chain(*ranked[:count])))
        train.append(sorted(itertools.chain(*ranked[count:])))
    return {"train": train, "test": test}


def _read(files, shape, faults):
    """Images and labels of a part; what cannot be read is added to `faults`, a line each."""
    images, labels = [], []
    for label, path in ((label, path) for label, paths in enumerate(files) for path in paths):
        try:
            images.append(read_image(path, shape))
            labels.append(label)
        except WorldError as error:
            faults.append(str(error))
    return np.array(images, np.uint8).reshape(-1, *shape), np.array(labels, np.int32)
