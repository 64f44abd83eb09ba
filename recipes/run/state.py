"""state.npz: everything that training needs to go on after the last epoch that was saved.

Each function takes the directory of the run, a `pathlib.Path`.
"""

import shutil

from recipes.errors import WorldError
from recipes.run.files import write_file
from recipes.run.names import STATE


def has_state(directory):
    """Whether the run has a state from which training can go on."""
    return (directory / STATE).exists()


def history_of(directory):
    """The logs of the epochs that need not be trained again, a list of dicts.

    Raises:
        WorldError: the file is damaged.
    """
    from callbacks.exact_resume import StateError, read_state

    if not has_state(directory):
        return []
    try:
        return read_state(directory / STATE)[0]["history"]
    except StateError as error:
        raise WorldError(str(error)) from error


def state_bytes(directory):
    """The content of the file; no bytes if there is no file."""
    return (directory / STATE).read_bytes() if has_state(directory) else b""


def begin_with_bytes(directory, content):
    """Write the state that a run begins from, unless it has one already."""
    if not has_state(directory):
        write_file(directory / STATE, lambda part: part.write_bytes(content))


def begin_with_state_of(other, directory):
    """Copy the state of another run, from which this run begins, unless it has one already."""
    if not has_state(directory):
        write_file(directory / STATE, lambda part: shutil.copyfile(other / STATE, part))
