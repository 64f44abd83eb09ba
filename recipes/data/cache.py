import json
import os
import pathlib
import zipfile
import zlib

import numpy as np

from callbacks.write_whole import write_whole
from recipes.data.labelled import Labelled

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
FORMAT = 1  # of the file; raised when images are read or resized in another way


def cached(source, name, shape, read):
    """Images from a cache beside their source, or else read from it and kept there.

    The cache counts only while the names, sizes and times of all files of the source are those it was made from, and
    its checksums hold. It has no pickles in it. Where it cannot be written, images are read anew each time.

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
    if fingerprint(source) == state and os.access(source, os.W_OK):
        _save(path, images, state)
    return images


def fingerprint(directory):
    """Name, size and time of change of every file under a directory, hidden ones left out."""
    found = []
    for where, folders, files in os.walk(directory):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for file in sorted(file for file in files if not file.startswith(".")):
            status = os.stat(os.path.join(where, file))
            found.append([os.path.relpath(os.path.join(where, file), directory), status.st_size, status.st_mtime_ns])
    return found


def _load(path, state):
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            about = json.loads(str(content["about"]))
            if (about["format"], about["source"]) != (FORMAT, state):
                return None
            x_train, y_train, x_test, y_test = (np.asarray(content[name]) for name in ARRAYS)
        return Labelled(tuple(about["classes"]), (x_train, y_train), (x_test, y_test), about["origin"], about["digest"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError):
        return None  # none there, or damaged


def _save(path, images, state):
    about = {
        "format": FORMAT,
        "source": state,
        "classes": images.classes,
        "origin": images.origin,
        "digest": images.digest,
    }
    arrays = dict(zip(ARRAYS, (*images.train, *images.test), strict=True))
    try:
        write_whole(path, lambda part: np.savez(part, about=np.array(json.dumps(about)), **arrays))
    except OSError:
        print(f"There is no room for a cache at {path.parent}: the images are read anew each time.")
