import contextlib

import matplotlib


@contextlib.contextmanager
def plain_text():
    """Show text in pictures as it is written. Otherwise Matplotlib reads text between two dollars as a formula."""
    with matplotlib.rc_context({"text.parse_math": False}):
        yield
