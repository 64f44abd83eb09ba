from recipes import report
from recipes.commands.parser import add_command
from recipes.run.names import REPORT


def add(commands, name):
    """Add the parser of `report`."""
    parser = add_command(commands, name, _report, "a page of runs, searches and comparisons, for a browser")
    parser.add_argument("directories", metavar="DIR", nargs="+")
    parser.add_argument("--out", metavar="FILE", help=f"page to write; by default {REPORT} in the first DIR")


def _report(asked):
    print(report.write_report(asked.directories, asked.out))
