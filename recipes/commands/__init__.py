"""The command line: a file for each command, with its parser and what it does. Only `recipes.__main__` imports it."""

from recipes.commands.command_line import parse

__all__ = ["parse"]
