import contextlib
import importlib
import json
import zipfile

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.run.names import CONFIG


def load_model(path, compile=True):
    """Load the model of a `.keras` file, in safe mode. The modules of its classes are imported first.

    Args:
        path: of the file.
        compile: bool, whether its optimizer and its loss are loaded, too.

    Raises:
        WorldError: the model cannot be loaded.
    """
    import keras

    try:
        open_regular(path).close()
    except OSError as error:
        raise WorldError(f"{path} cannot be loaded: {error.strerror}") from error
    for module in modules_of(path):
        with contextlib.suppress(ImportError):  # Keras names the class that it does not find then
            importlib.import_module(module)
    try:
        return keras.saving.load_model(path, compile=compile)
    except Exception as error:  # Keras raises many kinds for a damaged file
        raise WorldError(f"{path} cannot be loaded: {one_line(error)}") from error


def modules_of(path):
    """The modules of the classes that a `.keras` file names, those of Keras left out: a sorted list of str."""
    try:
        with zipfile.ZipFile(path) as file:
            config = json.loads(file.read(CONFIG))  # Keras calls it as we do
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):  # Keras says what is wrong with the file
        return []
    return sorted({name for name in _modules_in(config) if name.partition(".")[0] not in ("keras", "builtins")})


def _modules_in(config):
    """Yield each module that a structure of JSON names with a class."""
    if isinstance(config, dict):
        if isinstance(config.get("module"), str) and "class_name" in config:
            yield config["module"]
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            yield from _modules_in(each)
