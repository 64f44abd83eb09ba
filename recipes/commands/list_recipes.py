import sys

from recipes import run as runs
from recipes.commands.parser import add_command, add_json
from recipes.commands.recipe_name import first_line
from recipes.find import importable
from recipes.settings.clippers import clipper_entries
from recipes.settings.line_searches import line_search_entries
from recipes.settings.optimizers import optimizer_entries
from recipes.settings.schedules import schedule_entries

KEYS = ("name", "usage", "about")  # of an entry in JSON
INSTEAD = {  # of recipes: what there is, and the text of --help
    "--optimizers": (optimizer_entries, "list what --optimizer takes"),
    "--clippers": (clipper_entries, "list what --clipping takes; one after another: centralize+by_global_norm:1.0"),
    "--line-searches": (line_search_entries, "list what --line-search takes"),
    "--schedules": (schedule_entries, "list what --schedule takes; one after another: constant:until=0.5+cosine"),
}


def add(commands, name):
    """Add the parser of `list`."""
    parser = add_command(commands, name, _list, "list the recipes, a line each")
    add_json(parser)
    group = parser.add_mutually_exclusive_group()
    for option, (entries, text) in INSTEAD.items():
        group.add_argument(
            option, action="store_const", dest="entries", const=entries, default=recipe_entries, help=text
        )


def recipe_entries():
    """Yield `(name, first line)` of every recipe of this package; what is none is told on the standard error."""
    classes, faults = importable()
    width = max(map(len, classes), default=0)
    for name, cls in classes.items():
        yield name.ljust(width), first_line(cls)
    for fault in faults:
        print(f"recipes: {fault}", file=sys.stderr)


def _list(asked):
    if asked.json:
        entries = [(usage.partition(":")[0].strip(), usage.strip(), about) for usage, about in asked.entries()]
        print(runs.text_of([dict(zip(KEYS, entry, strict=True)) for entry in entries]))
        return
    for usage, about in asked.entries():
        print(f"{usage}  {about}")
