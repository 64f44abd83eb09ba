"""The command line: list the recipes, show one, train one.

Keras is imported only when something runs, so that help and mistakes are answered at once.
"""

import argparse
import dataclasses
import importlib
import inspect
import os
import signal
import sys
import typing

from recipes.errors import CommandError, WorldError
from recipes.nearest import unknown
from recipes.quiet import load_tensorflow
from recipes.run import Run

RECIPES = ("cifar10_cnn",)


def main(arguments=None):
    """Carry out a command line.

    Args:
        arguments: list of str; by default those of the process.

    Returns:
        The exit status: 0, 1 (the world is wrong: no room for the run, a bad file), 2 (the command line is wrong) or
        130 (interrupted).
    """
    try:
        asked = _parser().parse_args(arguments)
        asked.command(asked)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(2, error)
    except WorldError as error:
        return _fail(1, error)
    except BrokenPipeError:  # whoever read the output has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, or Python would complain when it flushes at exit
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, for instance
        return _fail(1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except KeyboardInterrupt:
        return _fail(128 + signal.SIGINT, "interrupted")
    return 0


def _fail(status, message):
    print(f"recipes: {str(message).strip().splitlines()[0]}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """argparse, with mistakes told in one line that has the nearest names."""

    def error(self, message):
        raise CommandError(f"{message} (see {self.prog} --help)")

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            kind = "recipe" if action.metavar == "NAME" else "command"
            raise CommandError(unknown(kind, str(value), action.choices))

    def parse_args(self, args=None, namespace=None):
        asked, strange = self.parse_known_args(args, namespace)
        if strange and not strange[0].startswith("-"):
            raise CommandError(f"one word too many: '{strange[0]}'")
        if strange:
            known = [o for action in asked.parser._actions for o in action.option_strings]
            raise CommandError(unknown("option", strange[0].partition("=")[0], known))
        return asked


def _parser():
    parser = _Parser(prog="python -m recipes", description="Recipes: a model, its data and its optimizer.")
    parser.set_defaults(command=_no_command, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    _add(commands, "list", _list, "list the recipes, a line each")
    show = _add(commands, "show", _show, "what a recipe is, and its settings")
    show.add_argument("recipe", metavar="NAME", type=_recipe)
    train = _add(commands, "train", _no_recipe, "train a recipe")
    recipes = train.add_subparsers(metavar="NAME", parser_class=_Parser, dest="recipe")
    for name in RECIPES:
        _add_recipe(recipes, name)
    return parser


def _add(commands, name, command, text):
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(command=command, parser=parser)
    return parser


def _add_recipe(recipes, name):
    module = _recipe(name)
    parser = _add(recipes, name, _train, _first_line(module))
    parser.set_defaults(recipe=module)
    for field in dataclasses.fields(module.Settings):
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=_value_type(field),
            default=field.default,
            metavar=_value_type(field).__name__.upper(),
            help=field.metadata["help"] + default,
        )
    parser.add_argument(
        "--run-dir", metavar="DIR", type=_directory, help="where results go (default: runs/NAME/DATE-TIME)"
    )


def _value_type(field):
    """The type of a setting's value: `float` for `float | None`."""
    return field.type if isinstance(field.type, type) else typing.get_args(field.type)[0]


def _directory(text):
    if not text:
        raise CommandError("--run-dir: the name of the directory is empty")
    return text


def _recipe(name):
    if name not in RECIPES:
        raise CommandError(unknown("recipe", name, RECIPES))
    return importlib.import_module(f"recipes.{name}")


def _first_line(module):
    return inspect.getdoc(module).partition("\n")[0]


def _no_command(asked):
    raise CommandError("say what to do: list, show NAME or train NAME (see python -m recipes --help)")


def _no_recipe(asked):
    raise CommandError(f"say which recipe to train: {', '.join(RECIPES)}")


def _list(asked):
    for name in RECIPES:
        print(f"{name:16} {_first_line(_recipe(name))}")


def _show(asked):
    print(inspect.getdoc(asked.recipe))
    print("\nSettings:\n")
    for field in dataclasses.fields(asked.recipe.Settings):
        print(f"    {field.name:16} {field.default!s:20} {field.metadata['help']}")


def _train(asked):
    names = [field.name for field in dataclasses.fields(asked.recipe.Settings)]
    settings = asked.recipe.Settings(**{name: getattr(asked, name) for name in names})
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise WorldError(f"recipes train on the TensorFlow backend so far; KERAS_BACKEND is '{backend}'")
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, whatever is set for windows
    run = Run(asked.recipe.__name__.rpartition(".")[2], settings, asked.run_dir)
    load_tensorflow()
    result = asked.recipe.train(settings, run)
    run.write_json("result.json", result)
    if result["stopped_early"]:
        raise WorldError(f"training stopped early after {result['updates']} updates; see {run.directory}")
    print(
        f"\nTest accuracy {result['test_accuracy']:.1%} on {result['test_images']} images of {settings.data} "
        f"after {result['updates']} updates."
    )
    print(f"Learning curves: {run.directory / 'curves.png'}")


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that has no × gets a ?
    sys.exit(main())
