import hashlib
import os
import pathlib
import warnings

import numpy as np

from recipes.data.labelled import Labelled
from recipes.data.to_shape import to_shape
from recipes.errors import WorldError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
TEST_SHARE = 0.2


def folder(path, shape):
    """Images of a directory with a subfolder for each class, of any sizes and formats.

    Classes are numbered in the order of their names. With subfolders `train` and `test` (or `val`, `validation`) and
    nothing else, each of those has a subfolder for each class. Otherwise one image in five of each class is the test
    part, chosen by the hash of its file, so that adding images moves none from one part to the other but at the edge,
    and copies of one image stay together.

    Files are images by their ending (.png .jpg .jpeg .bmp .gif .webp .tif .tiff); others are left alone.

    Args:
        path: the directory.
        shape: `(height, width, channels)` that images are brought to by `to_shape`.

    Returns:
        `Labelled`.

    Raises:
        WorldError: there are no classes, a class has fewer than 3 images, or a file cannot be read.
    """
    path = pathlib.Path(path)
    parts = _parts(path)
    if parts is None:
        classes, files = _files(path)
        train, test = _split(files)
    else:
        classes, train = _files(parts[0])
        others, test = _files(parts[1])
        if classes != others:
            strange = sorted(set(classes) ^ set(others))
            raise WorldError(f"{path}: class '{strange[0]}' is not in both of {parts[0].name} and {parts[1].name}")
    origin = {"folder": str(path), "images": sum(map(len, train)) + sum(map(len, test))}
    return Labelled(classes, _read(train, shape), _read(test, shape), origin)


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
            with Image.open(path, formats=FORMATS) as image:
                image.load()
                return to_shape(ImageOps.exif_transpose(image), shape)
    except Exception as error:  # PIL raises whatever a damaged file leads it to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WorldError(f"{path}: {reason.replace(f' {str(path)!r}', '')}") from error


def _parts(path):
    names = {entry.name for entry in _folders(path)}
    for test in ("test", "validation", "val"):
        if names == {"train", test}:
            return path / "train", path / test
    return None


def _folders(path):
    if not path.is_dir():
        raise WorldError(f"--data folder:{path}: there is no such directory")
    return sorted((e for e in os.scandir(path) if e.is_dir() and not e.name.startswith(".")), key=lambda e: e.name)


def _files(path):
    """Names of the classes, and for each the paths of its images in the order of their names."""
    folders = _folders(path)
    if len(folders) < 2:
        raise WorldError(f"{path} has {len(folders)} subfolder(s); it needs one for each of 2 or more classes")
    files = [_images_in(pathlib.Path(each.path)) for each in folders]
    for each, found in zip(folders, files, strict=True):
        if len(found) < 3:
            raise WorldError(f"{each.path} has {len(found)} image(s); a class needs 3 or more ({' '.join(ENDINGS)})")
    return tuple(each.name for each in folders), files


def _images_in(path):
    found = (file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and not file.name.startswith("."))
    return sorted(file for file in found if file.is_file())


def _split(files):
    """For each class, the files to learn from and those to be judged on."""
    train, test = [], []
    for paths in files:
        ranked = sorted(paths, key=lambda path: (hashlib.sha256(path.read_bytes()).digest(), path))
        count = max(round(TEST_SHARE * len(ranked)), 1)
        test.append(sorted(ranked[:count]))
        train.append(sorted(ranked[count:]))
    return train, test


def _read(files, shape):
    labels = np.repeat(np.arange(len(files), dtype=np.int32), [len(paths) for paths in files])
    return np.stack([read_image(path, shape) for paths in files for path in paths]), labels
