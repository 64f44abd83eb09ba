from recipes.commands import (
    compare,
    evaluate,
    export,
    generate,
    list_recipes,
    predict,
    prepare,
    report,
    show,
    train,
    tune,
)
from recipes.commands.parser import Parser
from recipes.errors import CommandError

COMMANDS = {  # in the order of --help: what adds the parser of each
    "list": list_recipes.add,
    "show": show.add,
    "train": train.add,
    "tune": tune.add,
    "compare": compare.add,
    "evaluate": evaluate.add,
    "predict": predict.add,
    "generate": generate.add,
    "export": export.add,
    "prepare": prepare.add,
    "report": report.add,
}


def parse(arguments):
    """Parse a command line.

    Args:
        arguments: list of str, or None for those of the process.

    Returns:
        A namespace whose `command` is to be called with it.

    Raises:
        CommandError: it means nothing.
    """
    parser = Parser(prog="python -m recipes", description="Recipes: a model, its data and its optimizer.")
    parser.set_defaults(command=_no_command)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name, add in COMMANDS.items():
        add(commands, name)
    return parser.parse_args(arguments)


def _no_command(asked):
    raise CommandError(f"say what to do: {', '.join(COMMANDS)} (see python -m recipes --help)")
