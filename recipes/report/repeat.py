"""The commands that make what a directory holds once more."""

import itertools
import shlex


def training_command(found, recipe=None):
    """The command that trains with some settings, on the backend, devices and data of a directory.

    Args:
        found: `recipes.run.Directory`.
        recipe: `recipes.recipe.Recipe`; by default that of the directory.
    """
    recipe = found.recipe if recipe is None else recipe
    given = {name: found.config.get(name) for name in ("strategy", "dtype")} | {"data_dir": _data_dir(found)}
    usual = (None, "auto", recipe.default_dtype)
    return _on_backend(found, recipe.command(**{n: value for n, value in given.items() if value not in usual}))


def last_command(found):
    """The command that was given last, for a shell; None if this version does not carry it out.

    Args:
        found: `recipes.run.Directory`.
    """
    if found.is_of_before:
        return None
    words = _words(found)
    return _on_backend(found, shlex.join(words)) if words else "(the command was not recorded)"


def _on_backend(found, command):
    """A command with what chooses its backend; TensorFlow is chosen without."""
    backend = found.config.get("backend") or "tensorflow"
    is_of_shell = command.startswith("python ")  # and not of a notebook, which has its backend
    return f"KERAS_BACKEND={shlex.quote(backend)} {command}" if is_of_shell and backend != "tensorflow" else command


def _data_dir(found):
    """What the last start gave as --data-dir; None if it gave none."""
    words = []
    for word in _words(found):
        words += word.split("=", 1) if word.startswith("--data-dir=") else [word]
    return next((value for value, option in itertools.pairwise(words[::-1]) if option == "--data-dir"), None)


def _words(found):
    """The words of the last start's command, a list; an empty one if there is no record of it."""
    return found.starts[-1]["command"] if found.starts else []
