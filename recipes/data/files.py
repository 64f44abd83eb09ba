import os
import pathlib


def files_under(directory):
    """Every file under a directory, in the order of their paths.

    Links are followed, and each directory is read once. Hidden files, whose names begin with a dot, and links to
    files that do not exist are left out.

    Returns:
        List of `(path, status)`, the status as `os.stat` gives it.
    """
    found, seen = [], set()

    def walk(where):
        real = os.path.realpath(where)
        if real in seen:
            return
        seen.add(real)
        for entry in sorted(os.scandir(where), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                walk(entry.path)
            elif entry.is_file():
                found.append((pathlib.Path(entry.path), entry.stat()))

    walk(directory)
    return found
