import os

from recipes.settings.fields import Setting

NAME = "weights"


def weights():
    """A field `weights` of a recipe: the trained model that training begins with; its path is kept in full."""
    what = "trained model of the same network to begin with, whose last layer is left out where classes differ"
    words = "the directory of a run, or a .keras file"
    return Setting(None, what, str, words, _path, is_optional=True, is_searched=False, before=None)


def weights_of(recipe):
    """The trained model that a recipe is to begin with, a path; None if there is none, or no such setting."""
    setting = recipe.settings().get(NAME)  # a recipe may have one of that name for something else
    return getattr(recipe, NAME) if setting is not None and setting.read is _path else None


def _path(value):
    return os.path.abspath(os.path.expanduser(value)) if isinstance(value, str) and value else None
