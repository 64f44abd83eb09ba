import hashlib
import pathlib

from recipes.errors import CommandError, WorldError
from recipes.machine.regular_file import open_regular
from recipes.run import config_of, load_model
from recipes.run.names import CONFIG, MODEL
from recipes.settings.quantities import counted
from recipes.settings.weights import weights_of

HASH = "weights_hash"  # in config.json, beside what a run says of its data


def begin_with(model, path, classes):
    """Give a model the weights of a trained one. Where classes differ, the last layer keeps its own.

    The networks have to be the same but for that layer: weights are taken in their order, and their shapes compared.

    Args:
        model: `keras.Model` that is not trained yet.
        path: str, a directory of a run, or a `.keras` file. The classes of a run are known by their names, those of a
            file that lies elsewhere by their number.
        classes: sequence of str, what the model tells apart.

    Returns:
        A sentence that says what was taken.

    Raises:
        WorldError: there is no such model, or it is of another network.
    """
    begun = load_model(file_of(path), compile=False)
    taken, new, known = begun.weights, model.weights, _classes_of(path)
    are_others = known is not None and known != list(classes)
    head = _last_layer(new) if are_others or _ends_otherwise(taken, new) else set()
    if len(taken) != len(new):
        raise _other_network(path, f"it has {counted(len(taken), 'weight array')}, and this one {len(new)}")
    for old, variable in zip(taken, new, strict=True):
        if id(variable) not in head and old.shape != variable.shape:
            raise _other_network(path, f"its {old.path} is {tuple(old.shape)}, and here it is {tuple(variable.shape)}")
    for old, variable in zip(taken, new, strict=True):
        if id(variable) not in head:
            variable.assign(old)
    _begin_optimizer(getattr(model, "optimizer", None), model.trainable_variables)
    rest = ""
    if head:
        rest = f"; the last layer is new, for {len(classes)} other classes"
    elif known is None:
        rest = "; its classes are not known, so the last layer is taken, too"
    return f"Begins with the weights of {path}{rest}."


def _begin_optimizer(optimizer, variables):
    """Give an optimizer that is built already the state that it has beside these weights: some keep a copy of them."""
    if optimizer is None or not optimizer.built:
        return
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(variables)
    for mine, theirs in zip(optimizer.variables, fresh.variables, strict=True):
        mine.assign(theirs)


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


def hash_of_weights(recipe, run):
    """What a run writes down of the model that it begins with: a dict with the SHA-256 of its file; {} if with none.

    A run that has trained epochs does not need the file any more: what it has written down before is kept.

    Args:
        recipe: `recipes.recipe.Recipe`.
        run: `recipes.run.Run`.
    """
    path = weights_of(recipe)
    if path is None:
        return {}
    if run.epochs_done():
        return {HASH: (run.recorded("trained_on") or {}).get(HASH)}
    with open_regular(file_of(path)) as file:
        return {HASH: hashlib.file_digest(file, "sha256").hexdigest()}


def check_weights(recipe):
    """Raise a CommandError or a WorldError if a recipe is to begin with a model that is not there."""
    path = weights_of(recipe)
    if path is not None:
        file_of(path)


def _classes_of(path):
    """The classes of a run, or of the run that a file lies in: a list; None if they are not known."""
    directory = file_of(path).parent
    if not (directory / CONFIG).is_file():
        return None
    known = ((config_of(directory) or {}).get("trained_on") or {}).get("classes")
    return None if known is None else list(known)


def _ends_otherwise(taken, new):
    """Whether the last weights of two models are of different shapes, as with another number of classes."""
    return bool(taken and new) and taken[-1].shape != new[-1].shape


def _last_layer(weights):
    """The weights of the layer that has the last ones, a set of their ids."""
    layer = weights[-1].path.rpartition("/")[0]
    return {id(each) for each in weights if each.path.rpartition("/")[0] == layer}


def _other_network(path, why):
    return WorldError(f"--weights {path} is of another network: {why}")
