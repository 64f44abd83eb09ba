import contextlib
import importlib
import os
import re
import sys
import tempfile

LOG_LINE = re.compile(  # of TensorFlow, before and after its logging is set up
    rb"[IWEF]\d{4} |\d{4}-\d\d-\d\d .*: [IWEF] |WARNING: All log messages before absl|To enable the following "
)


def load_backend(package, touch=True):
    """Import the package of a Keras backend, and hide what it writes to standard error meanwhile.

    TensorFlow writes lines about its build when it is imported and, when it looks for devices, lines about missing
    GPUs; no setting stops them. They are shown only if the import fails. What TensorFlow logs later is hidden unless
    TF_CPP_MIN_LOG_LEVEL is set: errors are raised as exceptions, and the rest are notes on its optimizations.

    Args:
        package: str, name of the package.
        touch: bool, whether TensorFlow looks for devices now. In a process that is to be forked it must not.
    """
    with _hidden() as said:
        try:
            module = importlib.import_module(package)
            if package == "tensorflow" and touch:
                module.config.list_physical_devices()
        except BaseException:
            said.seek(0)
            sys.__stdout__.write(said.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def without_log_lines():
    """Hide the lines that TensorFlow logs on standard error in a block; what others write there comes after it."""
    lines = b""
    try:
        with _hidden() as said:
            try:
                yield
            finally:
                sys.stderr.flush()
                said.seek(0)
                lines = b"".join(line for line in said if not LOG_LINE.match(line))
    finally:
        sys.stderr.write(lines.decode(errors="replace"))


@contextlib.contextmanager
def _hidden():
    """Send the standard error of a block to a file, which is given."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, _standard_error_to(said):
        yield said


@contextlib.contextmanager
def _standard_error_to(file):
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
