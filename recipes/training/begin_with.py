import hashlib
import pathlib

from recipes.errors import CommandError, WorldError
from recipes.machine.regular_file import open_regular
from recipes.run import config_of, load_model
from recipes.run.names import CONFIG, MODEL
from recipes.settings.quantities import counted


def begin_with(model, path, classes):
    """Give a model the weights of a trained one. Where classes differ, the last layer keeps its own.

    The networks have to be the same but for that layer: weights are taken in their order, and their shapes compared.

    Args:
        model: `keras.Model` that is not trained yet.
        path: str, a directory of a run, or a `.keras` file. The classes of a run are known by their names, those of a
            file by their number.
        classes: sequence of str, what the model tells apart.

    Returns:
        A sentence that says what was taken.

    Raises:
        WorldError: there is no such model, or it is of another network.
    """
    begun = load_model(file_of(path), compile=False)
    is_head = _same_classes(path, classes) is False
    taken, new = begun.weights, model.weights
    head = _last_layer(new) if is_head or _ends_otherwise(taken, new) else set()
    if len(taken) != len(new):
        raise _other_network(path, f"it has {counted(len(taken), 'weight array')}, and this one {len(new)}")
    for old, variable in zip(taken, new, strict=True):
        if id(variable) not in head and old.shape != variable.shape:
            raise _other_network(path, f"its {old.path} is {tuple(old.shape)}, and here it is {tuple(variable.shape)}")
    for old, variable in zip(taken, new, strict=True):
        if id(variable) not in head:
            variable.assign(old)
    rest = f"; the last layer is new, for {len(classes)} other classes" if head else ""
    return f"Begins with the weights of {path}{rest}."


def file_of(path):
    """The file of a model.

    Args:
        path: str, the file, or a directory of a run that is done.

    Raises:
        CommandError: the directory has no model, or the file is not one of Keras.
        WorldError: there is neither.
    """
    where = pathlib.Path(path)
    if where.is_dir():
        if not (where / MODEL).exists():
            raise CommandError(f"--weights {path}: the directory has no {MODEL}, which a run has that is done")
        return where / MODEL
    if not where.exists():
        raise WorldError(f"--weights {path}: there is no such directory or file")
    if where.suffix != ".keras":
        raise CommandError(f"--weights {path}: give the directory of a run, or a .keras file")
    return where


def hash_of(path):
    """The SHA-256 of the file of a model, in hexadecimal digits; arguments as for `file_of`."""
    with open_regular(file_of(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same_classes(path, classes):
    """Whether the classes of a run are these, in this order; None if they are not known."""
    if not (pathlib.Path(path) / CONFIG).is_file():
        return None
    known = ((config_of(path) or {}).get("trained_on") or {}).get("classes")
    return None if known is None else list(known) == list(classes)


def _ends_otherwise(taken, new):
    """Whether the last weights of two models are of different shapes, as with another number of classes."""
    return bool(taken and new) and taken[-1].shape != new[-1].shape


def _last_layer(weights):
    """The weights of the layer that has the last ones, a set of their ids."""
    layer = weights[-1].path.rpartition("/")[0]
    return {id(each) for each in weights if each.path.rpartition("/")[0] == layer}


def _other_network(path, why):
    return WorldError(f"--weights {path} is of another network: {why}")
