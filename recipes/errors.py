class CommandError(Exception):
    """The command line asks for something that does not exist or cannot be. Exit status 2."""


class WorldError(Exception):
    """The command line is right, but the world is not: no data, no room for a run, a bad file. Exit status 1."""
