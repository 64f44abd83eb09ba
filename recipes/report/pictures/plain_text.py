import contextlib

import matplotlib


@contextlib.contextmanager
def plain_text():
    """Show words in pictures as they are written; Matplotlib would take what is between two dollars for a formula."""
    with matplotlib.rc_context({"text.parse_math": False}):
        yield
