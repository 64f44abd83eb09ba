import re


class CommandError(Exception):
    """The command line asks for something that does not exist or cannot be. Exit status 2."""


class WorldError(Exception):
    """The command line is right, but the world is not: no data, no room for a run, a bad file. Exit status 1."""


def one_line(error):
    """What an exception says, in one line: the first that is not empty, without TensorFlow's names of nodes."""
    said = re.sub(r"\{\{[^}]*\}\}", "", str(error))
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)[:300]
