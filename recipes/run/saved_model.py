import importlib

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular

MODULES = ("custom_optimizers", "recipes.layers")  # modules whose classes the model of any recipe may have


def load_model(path, modules=()):
    """Load the model of a `.keras` file, in safe mode.

    Args:
        path: of the file.
        modules: names of more modules whose classes the model has; they are imported first.

    Raises:
        WorldError: the model cannot be loaded.
    """
    import keras

    try:
        open_regular(path).close()
    except OSError as error:
        raise WorldError(f"{path} cannot be loaded: {error.strerror}") from error
    for module in (*MODULES, *modules):
        importlib.import_module(module)
    try:
        return keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds for a damaged file
        raise WorldError(f"{path} cannot be loaded: {one_line(error)}") from error
