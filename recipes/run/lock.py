import os
import stat

from recipes.errors import WorldError
from recipes.run.names import LOCK

APPENDED = (".lock", ".txt", ".db", ".db-journal", ".db-wal", ".db-shm")  # endings of files that are not replaced


class Lock:
    """The operating system's lock on a directory, which ends with the process, however that ends.

    Args:
        directory: `pathlib.Path`.
        patience: float, seconds to wait for another process that is at work in the directory, such as one that ends.
    """

    def __init__(self, directory, patience=0.0):
        self.directory, self.patience, self._lock = directory, patience, None

    def take(self):
        """Take it, unless this process has it.

        Raises:
            WorldError: another process has it, or the directory leads elsewhere or cannot be written to.
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
        """Give it back, if this process has it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def is_taken(self):
        """Whether another process has it."""
        try:
            self.take()
        except WorldError:
            return True
        self.release()
        return False


def refuse_links(directory):
    """Raise a WorldError if what is written to a run would end up elsewhere."""
    for where, folders, files in os.walk(directory):
        paths = [os.path.join(where, name) for name in [*folders, *files]]
        for path in filter(_leads_elsewhere, paths):
            raise WorldError(
                f"{path} is a link, or no regular file, and a run writes to its own directory alone; remove it, or "
                "give another --run-dir"
            )


def _leads_elsewhere(path):
    """Whether what is written there would not stay there; a link in the place of a file that is replaced does."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # it has gone since
        return False
    if path.endswith(APPENDED):
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return stat.S_ISLNK(mode) and not os.path.isfile(path)
