"""`--json`: one JSON text on the standard output, and whatever else is said on the standard error."""

import contextlib
import sys


@contextlib.contextmanager
def aside(wanted):
    """Send what is printed inside to the standard error, if JSON is wanted."""
    with contextlib.redirect_stdout(sys.stderr) if wanted else contextlib.nullcontext():
        yield
