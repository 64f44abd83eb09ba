"""The command line: list the recipes, show one, train one, and use what was trained.

Keras is imported only when something runs, so that help and mistakes are answered at once.
"""

import os
import signal
import sys
import traceback
import warnings

from recipes.errors import CommandError, WorldError, one_line
from recipes.machine.leaving import leave_others, leaving_on_signals


def main(arguments=None):
    """Carry out a command line.

    Args:
        arguments: list of str; by default those of the process.

    Returns:
        The exit status: 0, 1 (the world is wrong: no such file or run, no room, a bad file) or 2 (the command line is
        wrong).
        Ctrl-C ends the process with 130, SIGTERM with 143.
    """
    warnings.formatwarning = _as_line
    try:
        from recipes import commands  # not above: what is not installed is told in one line

        asked = commands.parse(arguments)
        with leaving_on_signals(lambda: getattr(asked, "advice", "")):
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
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, or Python would say so again, and exit with 120
        return _fail(1, ": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
    except ModuleNotFoundError as error:
        return _fail(1, _missing(error.name))
    except Exception as error:  # files that somebody has changed, a TensorFlow that gives up
        if "KERAS_DESCENT_TRACEBACK" in os.environ:
            traceback.print_exc()
        return _fail(1, f"{type(error).__name__}: {one_line(error)} (KERAS_DESCENT_TRACEBACK=1 shows where)")
    return 0


def _as_line(message, *about, **more):
    """A warning, without the file and the line of code that it comes from."""
    return f"recipes: {' '.join(str(message).split())}\n"


def _missing(name):
    return (
        f"{name} is not installed for {sys.executable}; after `make run`, `. .venv/bin/activate` makes python the one "
        "that has all, and elsewhere `pip install '.[tensorflow]'` in the checkout installs it"
    )


def _fail(status, message):
    print(f"recipes: {' '.join(str(message).split())}", file=sys.stderr)
    leave_others(status)
    return status


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a terminal that has no × gets a ?
    sys.exit(main())
