import contextlib
import importlib
import os
import sys
import tempfile


def load_backend(package, touch=True):
    """Import what Keras computes with, without what that writes to standard error.

    TensorFlow greets every process with lines about its build and, when it looks for devices, about GPUs that are not
    there, which no setting silences. They are shown after all when the import fails. What it logs later is left out
    unless TF_CPP_MIN_LOG_LEVEL is set: mistakes come as exceptions, and the rest are notes on its optimizers.

    Args:
        package: str, name of the package.
        touch: bool. Let TensorFlow look for devices here and now; a process that is to be forked must not.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, _standard_error_to(said):
        try:
            module = importlib.import_module(package)
            if package == "tensorflow" and touch:
                module.config.list_physical_devices()
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
