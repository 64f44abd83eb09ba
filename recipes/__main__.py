"""The command line: list the recipes, show one, train one, and use what was trained.

Keras is imported only when something runs, so that help and mistakes are answered at once.
"""

import contextlib
import os
import signal
import sys

from recipes.command_line import parse
from recipes.errors import CommandError, WorldError


class Terminated(KeyboardInterrupt):
    """SIGTERM: what an interruption is to a person, from a machine."""


def main(arguments=None):
    """Carry out a command line.

    Args:
        arguments: list of str; by default those of the process.

    Returns:
        The exit status: 0, 1 (the world is wrong: no room for the run, a bad file), 2 (the command line is wrong), 130
        (interrupted) or 143 (terminated).
    """
    try:
        with _terminable():
            asked = parse(arguments)
            asked.command(asked)
            sys.stdout.flush()
    except CommandError as error:
        return _fail(2, error)
    except WorldError as error:
        return _fail(1, error)
    except BrokenPipeError:  # whoever read the output has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, or Python would complain when it flushes at exit
        return 128 + signal.SIGPIPE
    except OSError as error:  # a full disk, for instance
        return _fail(1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except Terminated:
        return _fail(128 + signal.SIGTERM, "terminated; the same command goes on from the last epoch that was saved")
    except KeyboardInterrupt:
        return _fail(128 + signal.SIGINT, "interrupted; the same command goes on from the last epoch that was saved")
    return 0


@contextlib.contextmanager
def _terminable():
    """Let SIGTERM end the command as Ctrl-C does: with writes finished and locks released."""

    def terminate(number, frame):
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(status, message):
    print(f"recipes: {str(message).strip().splitlines()[0]}", file=sys.stderr)
    return status


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that has no × gets a ?
    sys.exit(main())
