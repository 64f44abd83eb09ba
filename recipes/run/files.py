"""Reading and writing the files of a run, each whole or not at all, and telling in one line what is wrong with them."""

import contextlib
import json

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.run.json_text import text_of


def read_json(path):
    """The contents of a JSON file as a dict, or None if there is none.

    Raises:
        WorldError: it cannot be read, or is not JSON.
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
    """Write a file whole or not at all, as `callbacks.write_whole` does; a directory for it is made.

    Args:
        path: `pathlib.Path`.
        write: function that writes a file at a path.

    Raises:
        WorldError: it cannot be written; what was there before still is.
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
    """Tell in one line that files hold something else than what was once written there.

    Args:
        path: of the file, or of the directory of all that is read in the block.

    Raises:
        WorldError: what was read is of another structure.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WorldError(
            f"{path} is damaged, or of another version: {type(error).__name__} {one_line(error)}"
        ) from error


def finite_number(values, name):
    """A number of a result.

    Raises:
        ValueError: it is none, or not finite.
        KeyError: it is not there.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise ValueError(f"{name} is {value!r:.80}")
    return value
