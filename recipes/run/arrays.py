import numpy as np

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.run.files import write_file


def write_arrays(path, arrays):
    """Write a dict of arrays as NumPy's .npz.

    Raises:
        WorldError: the file cannot be written.
    """

    def write(part):
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays)

    write_file(path, write)


def read_arrays(path):
    """The arrays of an .npz file, a dict; None if there is no such file.

    Raises:
        WorldError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # NumPy raises many kinds for a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error
