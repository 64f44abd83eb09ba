"""What a command says beside its result: on the standard error beside JSON, and not at all if it is to be quiet."""

import contextlib
import os
import sys


@contextlib.contextmanager
def aside(wanted):
    """Send what is printed inside to the standard error, if JSON is wanted."""
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def muted(wanted):
    """Leave out what is printed inside, if that is wanted."""
    if not wanted:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
