"""The parsers of all commands: how they tell mistakes, and the groups of options that several commands have."""

import argparse
import functools

from recipes.errors import CommandError
from recipes.machine.dtypes import DTYPES
from recipes.machine.strategies import STRATEGIES
from recipes.recipe import TAKEN
from recipes.run.names import CONFIG
from recipes.settings.config_file import from_file
from recipes.settings.fields import option_of, written
from recipes.settings.nearest import near, unknown
from recipes.settings.presets import resolve

METAVARS = {int: "N", float: "X", bool: "yes|no", str: "TEXT"}  # what stands for a value in --help


class Parser(argparse.ArgumentParser):
    """argparse, with mistakes told in one line that has the nearest names.

    `instead` is a dict from options that other commands have, and this one has not, to what is to be done in place of
    them.

    Args:
        options: as for `argparse.ArgumentParser`.
    """

    def __init__(self, **options):
        super().__init__(**{"allow_abbrev": False, **options})
        self.instead = {}

    def error(self, message):
        raise CommandError(f"{message} (see {self.prog} --help)")

    def _get_values(self, action, arg_strings):
        if arg_strings == ["--"] and action.option_strings:  # --option=--, of which argparse makes an empty list
            raise CommandError(f"{action.option_strings[0]} needs a value; -- is none")
        return super()._get_values(action, arg_strings)

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            raise CommandError(unknown((action.metavar or "value").lower(), str(value), action.choices))

    def parse_args(self, args=None, namespace=None):
        asked, strange = self.parse_known_args(args, namespace)
        if strange and not strange[0].startswith("-"):
            raise CommandError(f"one word too many: '{strange[0]}'")
        if strange:
            getattr(asked, "parser", self).refuse(strange[0].partition("=")[0])
        return asked

    def refuse(self, option):
        """Raise a CommandError for an option that there is not."""
        known = [each for action in self._actions for each in action.option_strings]
        nearest = next(iter(near(option, [*known, *self.instead])), None)
        if nearest in self.instead:
            raise CommandError(f"no option '{option}' of {self.prog}; {self.instead[nearest]}")
        raise CommandError(unknown("option", option, known))


def add_command(commands, name, carry_out, text):
    """Add the parser of a command.

    Args:
        commands: what `add_subparsers` gives.
        name: str, the command.
        carry_out: function of the parsed command line that does what the command is for.
        text: str, what that is, for --help.

    Returns:
        `Parser`.
    """
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=carry_out, parser=parser)
    return parser


def add_settings(parser, cls, instead=None):
    """Add an option for each setting of a recipe, and --preset.

    Args:
        parser: `Parser`.
        cls: class of the recipe.
        instead: dict of the settings that the command has no options for: what is to be done in place of each.
    """
    instead = {} if instead is None else instead
    parser.instead = {option_of(name): text for name, text in instead.items()}
    group = parser.add_argument_group("settings", "Defaults are those of the variant's preset; see show.")
    for name, setting in cls.settings().items():
        if name not in instead:
            bare = {"nargs": "?", "const": True} if setting.type is bool else {}  # --skip-broken alone is yes
            group.add_argument(
                option_of(name),
                type=functools.partial(setting.checked, option_of(name)),
                default=argparse.SUPPRESS,
                metavar="NAME" if setting.names else METAVARS[setting.type],
                help=as_help(f"{setting.described}{_default(setting)}"),
                **bare,
            )
    group.add_argument("--preset", metavar="NAME", help=as_help(f"a set of settings: {', '.join(cls.presets)}"))
    group.add_argument(
        "--config", metavar="FILE", help=f"settings from a file, JSON or YAML, such as the {CONFIG} of a run"
    )


def _default(setting):
    return "" if setting.default == "" else f" (default: {written(setting.default)})"


def as_help(text):
    """A text as argparse takes it for --help, where % begins a placeholder."""
    return text.replace("%", "%%")


def resolved(asked, **more):
    """The recipe with the settings that a command line gives.

    Args:
        asked: what the parser of a recipe's settings has read.
        more: settings that other options of the command give.

    Raises:
        CommandError: there is no such preset, the settings cannot be, or a file names one that the command decides.
    """
    given = {name: getattr(asked, name) for name in asked.recipe.settings() if hasattr(asked, name)}
    asked.named, asked.is_config_whole = set(given), False  # what commands look at that decide settings themselves
    if asked.config is None:
        return resolve(asked.recipe, {**given, **more}, asked.preset)
    recipe, named = from_file(asked.recipe, asked.config, {**given, **more}, asked.preset, TAKEN)
    asked.named, asked.is_config_whole = asked.named | (named or set()), named is None
    for name in sorted(named or ()):
        if instead := asked.parser.instead.get(option_of(name)):
            raise CommandError(f"--config {asked.config}: {name} is no setting of {asked.parser.prog}; {instead}")
    return recipe


def add_run_dir(group):
    """Add --run-dir, the directory that a command writes to."""
    group.add_argument(
        "--run-dir", metavar="DIR", type=_directory, help="where results go (default: runs/NAME/DATE-TIME)"
    )


def add_saved_run(parser):
    """Add the directory of a run that is done, as `recipes.run.SavedRun` takes it."""
    parser.add_argument("run_dir", metavar="RUN_DIR")


def add_computing(group, cls):
    """Add --strategy and --dtype: the devices and the precision that a recipe computes with."""
    group.add_argument(
        "--strategy",
        metavar="NAME",
        default="auto",
        help=f"devices: {', '.join(STRATEGIES)} (auto); the backend is KERAS_BACKEND's",
    )
    group.add_argument("--dtype", metavar="NAME", help=f"precision: {_dtypes(cls)} ({resolve(cls, {}).default_dtype})")


def _dtypes(cls):
    return ", ".join(cls.dtypes if len(cls.dtypes) == 1 else [d for d in DTYPES if d in (*cls.dtypes, "auto", "probe")])


def add_data_dir(parser):
    """Add --data-dir, where prepared images are."""
    parser.add_argument("--data-dir", metavar="DIR", type=_directory, help="directory of tensorflow-datasets")


def add_json(parser):
    """Add --json, for programs that read what a command says."""
    parser.add_argument("--json", action="store_true", help="as JSON; what else is said goes to the standard error")


def add_quiet(parser):
    """Add --quiet: the result alone."""
    return parser.add_argument("--quiet", action="store_true", help="say the result alone")


def places(asked):
    """How and from where to train, as functions of training, tuning and comparison take it: a dict."""
    return {name: getattr(asked, name) for name in ("strategy", "dtype", "data_dir")}


def _directory(text):
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("the name of the directory is empty, or has a NUL in it")
    return text
