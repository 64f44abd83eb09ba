import contextlib
import importlib
import os
import sys
import tempfile


def load_backend(package, touch=True):
    """Import the package of a Keras backend, and hide what it writes to standard error meanwhile.

    TensorFlow writes lines about its build when it is imported and, when it looks for devices, lines about missing
    GPUs; no setting stops them. They are shown only if the import fails. What TensorFlow logs later is hidden unless
    TF_CPP_MIN_LOG_LEVEL is set: errors are raised as exceptions, and the rest are notes on its optimizations.

    Args:
        package: str, name of the package.
        touch: bool, whether TensorFlow looks for devices now. In a process that is to be forked it must not.
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
