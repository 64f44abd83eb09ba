"""Arrays, and a dict that describes them, in one .npz file, which is written whole and read without pickles."""

import errno
import json
import os
import zipfile
import zlib

import numpy as np

from callbacks.write_whole import write_whole

# What NumPy and zipfile raise on files that are damaged or meant to do harm.
DAMAGES = (ValueError, LookupError, EOFError, MemoryError, RecursionError, NotImplementedError)


def write_arrays(path, about, arrays):
    """Write a dict that JSON can hold and a dict of arrays."""
    write_whole(path, lambda part: np.savez(part, about=np.array(json.dumps(about)), **arrays))


def read_arrays(path):
    """Read what `write_arrays` wrote.

    Returns:
        `(about, arrays)`, two dicts.

    Raises:
        ValueError: the file is damaged.
        OSError: it is not there, or cannot be read.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for until somebody writes to it
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: np.asarray(content[name]) for name in content.files}
        about = json.loads(str(arrays.pop("about")))
    except (*DAMAGES, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error
    if not isinstance(about, dict):
        raise ValueError("it does not describe its arrays")
    return about, arrays
