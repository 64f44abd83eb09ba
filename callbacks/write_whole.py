import os
import pathlib

from callbacks.uninterrupted import uninterrupted


def write_whole(path, write):
    """Write a file whole or not at all, so that it survives a power cut.

    Signals that would end the process are delayed until the file is written.

    Args:
        path: path of the file; a file that is there is replaced in one step.
        write: function that writes a file, given a path in the same directory with the same ending.

    Raises:
        OSError: there is no room, or no permission; it names the file. A file that was there before is still there,
            and nothing half-written is left.
    """
    path = pathlib.Path(path)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    with uninterrupted():
        try:
            write(part)
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            error.filename = error.filename or os.fspath(path)
            raise
        finally:
            part.unlink(missing_ok=True)
