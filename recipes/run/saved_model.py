import importlib

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular

MODULES = ("custom_optimizers", "recipes.layers")  # whose classes any recipe's file may name


def load_model(path, modules=()):
    """The model of a `.keras` file, loaded in safe mode.

    Args:
        path: of the file.
        modules: names of modules whose classes it names, besides those of all recipes.

    Raises:
        WorldError: it cannot be loaded.
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
    except Exception as error:  # Keras raises whatever a damaged file leads it to
        raise WorldError(f"{path} cannot be loaded: {one_line(error)}") from error
