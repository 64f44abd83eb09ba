import contextlib


@contextlib.contextmanager
def plain_text():
    """Words in pictures as they are written: of two dollar signs Matplotlib would make a formula."""
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}):
        yield
