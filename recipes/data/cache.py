import os
import pathlib

from callbacks.arrays_file import read_arrays, write_arrays
from recipes.data.files import files_under
from recipes.data.labelled import Labelled

PARTS = ("train", "validation", "test")
FORMAT = 2  # version of the file; it is raised when images are read or resized in another way


def cached(source, name, shape, read):
    """Read images from a cache beside their source, or read them from the source and write that cache.

    The cache is used only while the names, sizes and times of all files of the source are what they were when it was
    made, and while its checksums are right. It has no pickles in it. Where it cannot be written, or some of the files
    cannot be read, the images are read from their source each time.

    Args:
        source: directory that the images are read from.
        name: str, what messages call the images.
        shape: `(height, width, channels)`.
        read: function without arguments that returns `Labelled`.

    Returns:
        `Labelled`, checked and with its digest.
    """
    source = pathlib.Path(source)
    path = source / ".keras-descent-{}x{}x{}.npz".format(*shape)
    state = fingerprint(source)
    kept = _load(path, state)
    if kept is not None:
        return kept.checked(name, shape)
    images = read().checked(name, shape).with_digest()
    is_whole = "skipped" not in images.origin  # a file may be one that can be read the next time
    if is_whole and fingerprint(source) == state and os.access(source, os.W_OK):
        _save(path, images, state)
    return images


def fingerprint(directory):
    """Name, size and time of change of every file under a directory, hidden ones left out."""
    return [
        [os.path.relpath(path, directory), status.st_size, status.st_mtime_ns]
        for path, status in files_under(directory)
    ]


def _load(path, state):
    try:
        about, arrays = read_arrays(path)
        if (about["format"], about["source"]) != (FORMAT, state):
            return None
        parts = {part: (arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in about["parts"]}
        return Labelled(tuple(about["classes"]), **parts, origin=about["origin"], digest=about["digest"])
    except (OSError, ValueError, LookupError, TypeError):
        return None  # there is no cache, or it is damaged


def _save(path, images, state):
    parts = {part: getattr(images, part) for part in PARTS if getattr(images, part) is not None}
    about = {
        "format": FORMAT,
        "parts": list(parts),
        "source": state,
        "classes": images.classes,
        "origin": images.origin,
        "digest": images.digest,
    }
    arrays = {f"{name}_{part}": array for part, pair in parts.items() for name, array in zip("xy", pair, strict=True)}
    try:
        write_arrays(path, about, arrays)
    except OSError:
        print(f"There is no room for a cache at {path.parent}: the images are read from their files each time.")
