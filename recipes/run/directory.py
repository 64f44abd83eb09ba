import pathlib
import typing

from recipes.errors import WorldError
from recipes.find import find
from recipes.recipe import TAKEN
from recipes.run.contents import config_of, result_of
from recipes.run.files import may_be_damaged, read_json
from recipes.run.names import CONFIG, ENVIRONMENT
from recipes.run.version_before import translated
from recipes.settings.presets import OtherSettings, recorded

KINDS = ("run", "trial", "seeds", "search", "comparison")
GROWS = ("epochs", "seeds", "trials")  # what may be raised on a directory that exists: it goes on


class Directory(typing.NamedTuple):
    """What a directory holds, for those who read it.

    `kind` is one of `KINDS`; `recipe` has the settings that are its own, or that its trainings begin from; `config` is
    its config.json; `result` its result.json, None if there is none; `starts` is a list of dicts, the environment of
    each start; `is_of_before` whether version 0.1 wrote it: it is read, and nothing goes on with it.
    """

    directory: pathlib.Path
    kind: str
    recipe: typing.Any
    config: dict
    result: dict | None
    starts: list
    is_of_before: bool = False

    @property
    def is_done(self):
        """Whether its result is that of all that its config.json asks for."""
        return self.result is not None and self.result.get("of") == size_of(self.config)


def read_directory(directory):
    """Read what a directory holds.

    Args:
        directory: path.

    Returns:
        `Directory`.

    Raises:
        WorldError: there is nothing, or it is damaged.
        CommandError: it is of a recipe that is not there.
    """
    directory = pathlib.Path(directory)
    written = config_of(directory)
    if written is None:
        raise WorldError(f"{directory} holds no run, search or comparison (no {CONFIG})")
    config = translated(written)
    try:
        kind, cls = config["kind"], find(config["recipe"])
        if kind not in KINDS:
            raise ValueError(f"its kind is {kind!r:.80}")
        recipe = recorded(cls, {name: value for name, value in config.items() if name not in TAKEN})
    except OtherSettings as error:
        raise WorldError(f"{directory} was written {error}, so this version of the recipe cannot read it") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WorldError(f"{directory / CONFIG} is damaged, or of another version: {error}") from error
    with may_be_damaged(directory / ENVIRONMENT):
        starts = starts_of(directory)
    return Directory(directory, kind, recipe, config, result_of(directory), starts, is_of_before=config is not written)


def starts_of(directory):
    """The environment of each start, a list of dicts.

    Raises:
        ValueError: the file holds something else.
    """
    starts = (read_json(directory / ENVIRONMENT) or {}).get("starts", [])
    if not isinstance(starts, list) or not all(isinstance(each, dict) for each in starts):
        raise ValueError("it has no list of starts")
    return starts


def size_of(config):
    """What of a config says how much is trained: a dict, which a result repeats."""
    return {name: config[name] for name in GROWS if name in config}
