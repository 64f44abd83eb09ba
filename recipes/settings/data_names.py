"""The names that `--data` takes, apart from what loads them, so that a wrong one is answered at once."""

import os

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

SETS = ("digits", "cifar10")
PREFIXES = {"tfds:": "NAME", "folder:": "PATH"}
FLIPS = ("none", "random", "alternating")  # of `recipes.data.Augmentation`
ALL = (*SETS, *(prefix + what for prefix, what in PREFIXES.items()))


def absolute(name):
    """The same name with the path of a folder written in full: the command may be given again from elsewhere."""
    kind, _, path = name.partition(":")
    return f"folder:{os.path.abspath(os.path.expanduser(path))}" if kind == "folder" and path else name


def check_data_name(name):
    """Raise a CommandError if no images can be meant by `name`."""
    if name in PREFIXES:
        raise CommandError(f"--data {name}: write a {PREFIXES[name].lower()} behind the colon")
    if name not in SETS and not name.startswith(tuple(PREFIXES)):
        raise CommandError(f"--data: {unknown('data set', name, ALL)}")
