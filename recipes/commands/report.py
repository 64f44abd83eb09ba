from recipes import report
from recipes.commands.parser import add_command


def add(commands, name):
    """Add the parser of `report`."""
    parser = add_command(commands, name, _report, "a page of runs, searches and comparisons, for a browser")
    parser.add_argument("directories", metavar="DIR", nargs="+")
    parser.add_argument("--out", metavar="FILE", help="page to write; by default report.html in the first DIR")


def _report(asked):
    print(report.write_report(asked.directories, asked.out))
