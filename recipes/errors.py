import re


class CommandError(Exception):
    """The command line asks for something that cannot be, or that this program does not have. Exit status 2."""


class WorldError(Exception):
    """The command line is right, but the world is not: no such file or run, no room, a bad file. Exit status 1."""


class Diverged(Exception):
    """Training has come to a number that is not finite, before its end. It says which; the run ends as diverged."""


def one_line(error):
    """What an exception says, in one line: the first that is not empty, without TensorFlow's names of nodes."""
    said = re.sub(r"\{\{[^}]*\}\}", "", str(error))
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)[:300]
