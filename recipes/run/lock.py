import os
import stat

from recipes.errors import WorldError
from recipes.run.names import LOCK

APPENDED = (".lock", ".txt", ".db", ".db-journal", ".db-wal", ".db-shm")  # endings of files that are not replaced


class Lock:
    """The operating system's lock on a directory. It is released when the process ends, also if it is killed.

    Args:
        directory: `pathlib.Path`.
        patience: float, seconds to wait for another process that has the lock, such as one that is about to end.
    """

    def __init__(self, directory, patience=0.0):
        self.directory, self.patience, self._lock = directory, patience, None

    def take(self):
        """Take the lock, unless this process has it.

        Raises:
            WorldError: another process has it, the directory holds links to other places, or it cannot be written to.
        """
        import filelock

        if self._lock is not None:
            return
        refuse_links(self.directory)
        lock = filelock.FileLock(self.directory / LOCK)
        try:
            lock.acquire(timeout=self.patience)
        except filelock.Timeout as error:
            raise WorldError(f"another process is at work in {self.directory}") from error
        except OSError as error:
            raise WorldError(f"cannot write {self.directory / LOCK}: {error.strerror}") from error
        self._lock = lock

    def release(self):
        """Release the lock, if this process has it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def is_taken(self):
        """Whether another process has the lock."""
        try:
            self.take()
        except WorldError:
            return True
        self.release()
        return False


def refuse_links(directory):
    """Raise a WorldError if a link in a run's directory would make files end up elsewhere."""
    for where, folders, files in os.walk(directory):
        paths = [os.path.join(where, name) for name in [*folders, *files]]
        for path in filter(_leads_elsewhere, paths):
            raise WorldError(
                f"{path} is a link, or no regular file, and a run writes to its own directory alone; remove it, or "
                "give another --run-dir"
            )


def _leads_elsewhere(path):
    """Whether writing to this path would change a file elsewhere. Replacing a link to a file does not."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # the file was removed meanwhile
        return False
    if path.endswith(APPENDED):
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return stat.S_ISLNK(mode) and not os.path.isfile(path)
