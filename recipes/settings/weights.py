import os

from recipes.settings.fields import Setting


def weights():
    """A field of a recipe: the trained model that training begins with; its path is kept in full."""

    def read(value):
        return os.path.abspath(os.path.expanduser(value)) if isinstance(value, str) and value else None

    what = "trained model of the same network to begin with, whose last layer is left out where classes differ"
    words = "the directory of a run, or a .keras file"
    return Setting(None, what, str, words, read, is_optional=True, is_searched=False, before=None)
