import argparse
import contextlib
import inspect
import os
import sys

from recipes.commands.parser import Parser, add_command, as_help
from recipes.errors import CommandError
from recipes.find import find, importable, names
from recipes.machine.backend import import_foreign
from recipes.settings.nearest import unknown


class RecipeName(argparse.Action):
    """The name of a recipe, behind which the options of that recipe stand.

    The name is read first and alone, so that the settings of one recipe are imported and not those of all.

    Args:
        add_options: function that adds the options to a `Parser`, given that and the recipe's class.
        takes: function that says of the class of a recipe whether the command is for it.
        about: as for `argparse.Action`.

    Raises:
        CommandError: there is no such recipe, or the command is not for it, or its options mean nothing.
    """

    def __init__(self, *where, add_options, takes, **about):
        super().__init__(*where, **{**about, "nargs": argparse.PARSER, "metavar": "NAME"})
        self.required = False  # a command without a name says which there are
        self.add_options, self.takes = add_options, takes

    def __call__(self, parser, asked, words, option_string=None):
        name, *options = words
        cls = named(name, self.offered)
        if not self.takes(cls):
            raise CommandError(
                f"{name} cannot be searched or compared: it has no score but that of the test part; these can: "
                f"{', '.join(self.offered())}"
            )
        own = Parser(prog=f"{parser.prog} {name}", description=first_line(cls))
        self.add_options(own, cls)
        vars(asked).update(vars(own.parse_args(options)), recipe=cls, parser=own)

    def offered(self):
        """The recipes of this package that the command is for: a dict from names to classes."""
        classes, _ = importable()
        return {name: cls for name, cls in classes.items() if self.takes(cls)}

    def _get_subactions(self):
        """The recipes as argparse lists subcommands in --help, which asks for them by this name."""
        return [
            argparse.Action([], name, metavar=name, help=as_help(first_line(cls)))
            for name, cls in self.offered().items()
        ]


def named(name, offered=names):
    """The class of a recipe, by what a command line calls it.

    Args:
        name: str.
        offered: function that gives the names of recipes to offer for one that is none.

    Raises:
        CommandError: there is no such recipe; as far as one can see what was meant, it says what to write.
    """
    try:
        return find(name)
    except CommandError as error:
        raise CommandError(_correction(name, offered()) or str(error)) from error


def _correction(name, offered):
    """One line on a name that is no recipe's, with those that may be meant; None where `find` says more."""
    module, cls = _place(name)
    is_there = name == f"{module}:{cls}" and hasattr(sys.modules.get(module), cls)
    if module == "__main__" or is_there:
        return None
    ours = [module] if module in offered else []
    if meant := [*ours, *_recipes_of(module), *_recipes_of(f"{module}.{cls}")]:
        return unknown("recipe", name, meant)
    own = f"{module}:{cls}" if module and cls else "module:Class"
    return None if ":" in name else unknown("recipe", name, offered, f"one of your own is written {own}")


def _place(name):
    """The module and the class that `my_conv.py:MyConv`, `my_conv.MyConv` or `./my_conv.py` mean, two str."""
    where, _, cls = name.partition(":")
    if ":" not in name and "." in name and not name.endswith(".py"):
        where, _, cls = name.rpartition(".")
    return where.removeprefix("./").removesuffix(".py").replace("/", "."), cls


def _recipes_of(module):
    """The names of the recipes of a module that was imported, or of a file in the directory one stands in: a list."""
    if module not in sys.modules and not os.path.isfile(f"{module.replace('.', '/')}.py"):
        return []
    found = []
    with contextlib.suppress(Exception, SystemExit):  # whatever code that is not ours does when it is imported
        for cls in list(vars(import_foreign(module))):
            with contextlib.suppress(CommandError):
                found.append(find(f"{module}:{cls}"))
    return [each.name() for each in found if each.__module__ == module]


def add_recipe_command(commands, name, carry_out, text, add_options, takes=lambda cls: True):
    """Add the parser of a command that takes the name of a recipe and the options of that recipe.

    Args:
        commands, name, carry_out, text: as for `add_command`.
        add_options, takes: as for `RecipeName`.
    """

    def begin(asked):
        if asked.recipe is None:
            offered = ", ".join(action.offered())
            raise CommandError(f"say which recipe to {name}: {offered}; one of your own is written module:Class")
        carry_out(asked)

    parser = add_command(commands, name, begin, text)
    action = parser.add_argument("recipe", action=RecipeName, add_options=add_options, takes=takes)


def has_objectives(cls):
    """Whether a recipe has what searches and comparisons go by."""
    return bool(cls.objectives)


def first_line(cls):
    """The first line of what a recipe says of itself."""
    return inspect.getdoc(cls).partition("\n")[0]
