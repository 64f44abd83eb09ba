import contextlib
import importlib
import os
import sys
import tempfile


def load_tensorflow():
    """Import TensorFlow and let it look for devices, without what that writes to standard error.

    It greets every process with lines about its build and about GPUs that are not there, which no setting silences.
    They are shown after all when the import fails.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, _standard_error_to(said):
        try:
            importlib.import_module("tensorflow").config.list_physical_devices()
        except BaseException:
            said.seek(0)
            sys.__stdout__.write(said.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _standard_error_to(file):
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
