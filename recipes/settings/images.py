"""The names that `--data` takes, apart from what loads them, so that a wrong one is answered at once."""

import os

from recipes.errors import CommandError
from recipes.settings.fields import Setting, switch
from recipes.settings.nearest import unknown

SETS = ("digits", "cifar10")
PREFIXES = {"tfds:": "NAME", "folder:": "PATH"}
FLIPS = ("none", "random", "alternating")  # of `recipes.data.Augmentation`; the last in every other epoch
LOSSES = ("cross_entropy", "mse", "mae")  # of `recipes.classification.with_loss`
VIEWS = ("none", "flip", "flip_shift")  # of `recipes.classification.each_view`
ALL = (*SETS, *(prefix + what for prefix, what in PREFIXES.items()))


def images(default, help="images to train on", **about):
    """A field of a recipe: a set of labelled images; the path of a folder is kept in full."""

    def read(value):
        check_data_name(value)
        return absolute(value)

    about = {"changes": "data", "is_searched": False, **about}
    return Setting(default, help, str, ", ".join(ALL), read, **about)


def skip_broken():
    """A field of a recipe beside its images: whether those of a folder that cannot be read are left out."""
    return switch(
        False,
        "leave out images of a folder that cannot be read, instead of ending",
        changes="data",
        is_searched=False,
        before=False,
    )


def check_skip_broken(recipe):
    """Raise a CommandError if a recipe is to leave out broken images, and has none from a folder."""
    if recipe.skip_broken and not recipe.data.startswith("folder:"):
        raise CommandError(f"--skip-broken is of --data folder:PATH; the images are {recipe.data}")


def absolute(name):
    """The same name with the path of a folder written in full: the command may be given again from elsewhere."""
    kind, _, path = name.partition(":")
    return f"folder:{os.path.abspath(os.path.expanduser(path))}" if kind == "folder" and path else name


def check_data_name(name):
    """Raise a CommandError if no images can be meant by `name`."""
    if not isinstance(name, str):
        raise CommandError("the name of a data set is a text")
    if name in PREFIXES:
        raise CommandError(f"write a {PREFIXES[name].lower()} behind the colon")
    if name not in SETS and not name.startswith(tuple(PREFIXES)):
        raise CommandError(unknown("data set", name, ALL))
