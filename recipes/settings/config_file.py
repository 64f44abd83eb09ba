"""Settings from a file: what a run has written as config.json, or some settings by hand, in JSON or YAML."""

import dataclasses

from recipes.errors import CommandError
from recipes.settings.beside_search import check_given
from recipes.settings.fields import option_of
from recipes.settings.presets import OtherSettings, recorded, resolve


def from_file(cls, path, given, preset, others):
    """A recipe with the settings that a file holds, under those that were given.

    Args:
        cls: class of the recipe.
        path: of the file.
        given: dict of settings that a command line gives.
        preset: str, as `resolve` takes it; beside a file that holds all settings there is none.
        others: names that a config.json has beside settings, which are left out, and of other options, which are
            refused in a file that was written by hand.

    Returns:
        `(recipe, named)`: the second is a set of the settings that the file names; None if it holds all of them, as
        config.json does.

    Raises:
        CommandError: the file cannot be read, holds no settings or those of another recipe, or they cannot be.
    """
    values = _read(path)
    if values.get("recipe") not in (None, cls.name()):
        raise CommandError(f"--config {path} is of {values['recipe']}; this is {cls.name()}")
    is_whole = cls.settings().keys() <= values.keys()
    option = next((name for name in values if name in others and name not in ("recipe", *cls.settings())), None)
    if option is not None and not is_whole:
        raise CommandError(f"--config {path}: {option} is no setting of {cls.name()}; give {option_of(option)}")
    values = {name: value for name, value in values.items() if name in cls.settings() or name not in others}
    try:
        if not is_whole:
            return resolve(cls, {**values, **given}, preset), set(values)
        if preset is not None:
            raise CommandError("it holds all settings, so leave out --preset")
        found = dataclasses.replace(recorded(cls, values), **given)
        check_given(found, given)
        return found, None
    except (CommandError, OtherSettings, ValueError) as error:
        raise CommandError(f"--config {path}: {error}") from None


def _read(path):
    """What a file holds, a dict."""
    import yaml  # which reads JSON, too; here, since most commands do without it

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise CommandError(f"--config {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandError(f"--config {path} is neither JSON nor YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CommandError(f"--config {path} holds no settings; write NAME: VALUE in each line")
    return content
