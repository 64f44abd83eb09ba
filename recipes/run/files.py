"""Read and write the files of a run. Each is written in one step, and errors are one line."""

import contextlib
import json

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.run.json_text import text_of


def read_json(path):
    """The contents of a JSON file as a dict; None if there is no such file.

    Raises:
        WorldError: the file cannot be read, is not JSON, or holds something else than a dict.
    """
    try:
        with open_regular(path) as file:
            content = json.loads(file.read().decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WorldError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WorldError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise WorldError(f"{path} is damaged: it holds a {type(content).__name__}")
    return content


def write_file(path, write):
    """Write a file in one step, as `callbacks.write_whole` does. Its directory is made if it does not exist.

    Args:
        path: `pathlib.Path`.
        write: function that writes a file, given a path.

    Raises:
        WorldError: the file cannot be written. An earlier file is still there.
    """
    from callbacks.write_whole import write_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise WorldError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path, content):
    """Write a dict as JSON.

    Raises:
        WorldError: the file cannot be written.
    """
    write_file(path, lambda part: part.write_text(text_of(content) + "\n"))


@contextlib.contextmanager
def may_be_damaged(path):
    """Turn errors of a block that uses the contents of files into a WorldError of one line.

    Args:
        path: of the file, or of the directory if the block uses several files.

    Raises:
        WorldError: the contents have another structure than expected.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WorldError(
            f"{path} is damaged, or of another version: {type(error).__name__} {one_line(error)}"
        ) from error


def finite_number(values, name):
    """A number in a dict that was read from a file.

    Args:
        values: dict.
        name: str, key of the number.

    Raises:
        ValueError: the value is not a number, or not finite.
        KeyError: the dict has no such key.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise ValueError(f"{name} is {value!r:.80}")
    return value
