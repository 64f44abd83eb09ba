import argparse
import inspect

from recipes.commands.parser import Parser, add_command, as_help
from recipes.errors import CommandError
from recipes.recipe import find, names


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
        cls = find(name)
        if not self.takes(cls):
            raise CommandError(
                f"{name} has no objectives to search by; of those that have: {', '.join(self.offered())}"
            )
        own = Parser(prog=f"{parser.prog} {name}", description=first_line(cls))
        self.add_options(own, cls)
        vars(asked).update(vars(own.parse_args(options)), recipe=cls)

    def offered(self):
        """The names of the recipes of this package that the command is for."""
        return [name for name in names() if self.takes(find(name))]

    def _get_subactions(self):
        """The recipes as argparse lists subcommands in --help, which asks for them by this name."""
        return [
            argparse.Action([], name, metavar=name, help=as_help(first_line(find(name)))) for name in self.offered()
        ]


def add_recipe_command(commands, name, carry_out, text, add_options, takes=lambda cls: True):
    """Add the parser of a command that takes the name of a recipe and the options of that recipe.

    Args:
        commands, name, carry_out, text: as for `add_command`.
        add_options, takes: as for `RecipeName`.
    """

    def begin(asked):
        if asked.recipe is None:
            offered = ", ".join(action.offered())
            raise CommandError(f"say which recipe to {name}: {offered}; one of your own is module:Class")
        carry_out(asked)

    parser = add_command(commands, name, begin, text)
    action = parser.add_argument("recipe", action=RecipeName, add_options=add_options, takes=takes)


def has_objectives(cls):
    """Whether a recipe has what searches and comparisons go by."""
    return bool(cls.objectives)


def first_line(cls):
    """The first line of what a recipe says of itself."""
    return inspect.getdoc(cls).partition("\n")[0]
