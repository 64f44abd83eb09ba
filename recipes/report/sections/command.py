"""What pages say alike of what holds several trainings, a search or a comparison."""

from recipes.report.page import Section

NOT_DONE = "Not done. The command that goes on with it:"
BEFORE = "Version 0.1 wrote this {kind}; this version shows it, and does not go on with it."


def section_of_command(title, kind, command, is_done):
    """The section on what was asked for.

    Args:
        title: str.
        kind: str, "search" or "comparison".
        command: str, that was given last; None for one that this version does not carry out.
        is_done: bool.
    """
    if command is None:
        return Section(title, [BEFORE.format(kind=kind)] if is_done else ["Not done.", BEFORE.format(kind=kind)])
    return Section(title, [_again(kind, command) if is_done else NOT_DONE], [command])


def _again(kind, command):
    """What the command of a search or a comparison that is done does when it is given once more."""
    names_it = any(option in command for option in ("--run-dir", "--storage"))
    return f"Shows this {kind} again, or goes on with it:" if names_it else f"Begins another {kind} like this one:"
