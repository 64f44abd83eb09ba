"""What the methods of a recipe give, looked at before it is used: a recipe may be anybody's."""

import inspect

from recipes import training
from recipes.errors import WorldError, one_line
from recipes.settings.weights import weights_of
from recipes.training.begin_with import begin_with

ABOUT_DATA = {
    "train_size": "how many samples are trained on, a whole number >= 1",
    "about": "a method that gives a dict with `name`, a text, and `digest`, a text that is another one for other data",
    "sizes": "a method that gives the numbers of samples in words",
    "part": "a method that gives the data of a share of the samples",
}


def load(recipe, data_dir=None, download=False):
    """The data of a recipe.

    Raises:
        WorldError: they lack what commands ask of data.
    """
    data = recipe.load(data_dir, download)
    for name, what in ABOUT_DATA.items():
        if not hasattr(data, name):
            raise _fault(recipe, "load", f"gives {_kind(data)} without `{name}`, {what}")
    if not _is_count(data.train_size):
        raise _fault(recipe, "load", f"gives data whose `train_size` is {data.train_size!r:.80}, not a number >= 1")
    about(recipe, data)
    return data


def about(recipe, data):
    """What a run writes down about its data: a dict with `name`, `digest`, `train` and what else `data.about()` has."""
    found = data.about()
    if not isinstance(found, dict):
        raise _fault(recipe, "load", f"gives data whose `about` gives {_kind(found)}, not a dict")
    for name in ("name", "digest"):
        if not isinstance(found.get(name), str):
            raise _fault(recipe, "load", f"gives data whose `about` gives no text `{name}`: {ABOUT_DATA['about']}")
    return {"train": int(data.train_size), **found}


def model(recipe, data, begins=True, tell=None):
    """The compiled model of a recipe.

    Args:
        begins: bool, whether it gets the weights that the recipe is to begin with; False where a state follows.
        tell: function that gets a sentence on these weights.
    """
    import keras

    found = recipe.model(data)
    if not isinstance(found, keras.Model):
        raise _fault(recipe, "model", f"gives {_kind(found)}, not a keras.Model")
    if not found.compiled:
        raise _fault(recipe, "model", "gives a model that is not compiled")
    training.check_search(found)
    path = weights_of(recipe)
    if begins and path is not None:
        sentence = begin_with(found, path, about(recipe, data).get("classes", ()))
        if tell is not None:
            tell(sentence)
    return found


def batches(recipe, data):
    """What a recipe is trained on, as `fit` of Keras takes it without anything else."""
    found = recipe.batches(data)
    if found is None or isinstance(found, (tuple, list, dict)) or hasattr(found, "shape"):
        raise _fault(recipe, "batches", f"gives {_kind(found)}, not `recipes.data.ShuffledBatches` or a PyDataset")
    return found


def callbacks(recipe, data, run):
    """The callbacks of a recipe, a list."""
    found = recipe.callbacks(data, run)
    if not isinstance(found, (tuple, list)):
        raise _fault(recipe, "callbacks", f"gives {_kind(found)}, not a list")
    return list(found)


def judge(recipe, model, data, run):
    """The figures that a trained model is judged by, a dict with the recipe's `score`.

    Raises:
        WorldError: there is no such figure. The model has been saved, so the same command goes on from there.
    """
    return _figures(recipe, "judge", recipe.judge(model, data, run), [recipe.score])


def validate(recipe, model, data):
    """The figures that a search goes by, a dict with all `objectives` of the recipe."""
    return _figures(recipe, "validate", recipe.validate(model, data), recipe.objectives)


def summary(recipe, result):
    """A result in one sentence."""
    found = recipe.summary(result)
    if not isinstance(found, str):
        raise _fault(recipe, "summary", f"gives {_kind(found)}, not a text")
    return found


def _figures(recipe, method, found, wanted):
    if not isinstance(found, dict):
        raise _fault(recipe, method, f"gives {_kind(found)}, not a dict of figures")
    for name in wanted:
        if not _is_number(found.get(name)):
            value = "which is missing" if name not in found else f"which is {found[name]!r:.80}"
            raise _fault(recipe, method, f"gives no number `{name}`, {value}; it has {', '.join(found) or 'nothing'}")
    return found


def _is_number(value):
    try:
        return not isinstance(value, (bool, str)) and float(value) is not None
    except (TypeError, ValueError):
        return False


def _is_count(value):
    return _is_number(value) and int(value) == value and value >= 1


def _kind(value):
    return "nothing (is there a `return`?)" if value is None else f"a {type(value).__name__}"


def _fault(recipe, method, what):
    """A WorldError that says what is wrong with what a method gives, and where it is written."""
    return WorldError(one_line(f"`{method}` of {type(recipe).__name__} {what}{_where(getattr(type(recipe), method))}"))


def _where(method):
    try:
        return f" ({inspect.getsourcefile(method)}:{inspect.getsourcelines(method)[1]})"
    except (OSError, TypeError):  # of a cell of a notebook that was run again, for instance
        return ""
