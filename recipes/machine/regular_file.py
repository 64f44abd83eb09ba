"""Opening regular files only: a pipe or a device could keep its reader waiting for ever."""

import errno
import os
import stat


def open_regular(path):
    """Open a regular file, or a link to one, for reading bytes.

    Args:
        path: str or path.

    Returns:
        The file, open.

    Raises:
        OSError: it does not exist, cannot be read, or is not a regular file; the error names it.
    """
    path = os.fspath(path)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115, the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def _without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe waits until somebody writes to it
