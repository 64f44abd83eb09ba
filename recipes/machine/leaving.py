"""How Ctrl-C and SIGTERM end a command: at once, but never in the middle of a write.

A signal does not raise an exception, since an exception is lost if Python happens to be in a callback of the garbage
collector, in an import, or in code that catches everything; the command would then go on as if nothing had happened.
The process can simply end, since there is nothing to clean up: files are written whole or not at all, and locks end
with the process. `callbacks.uninterrupted` delays the end until a write is done.
"""

import contextlib
import os
import signal
import sys

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_cleanups = []


@contextlib.contextmanager
def leaving_on_signals(advice):
    """End the process with 128 + the signal's number and one line on SIGINT and SIGTERM, in the main thread.

    Args:
        advice: function without arguments that returns the rest of the line.
    """
    errors = os.dup(2)  # standard error may be redirected when a signal comes

    def leave(number, frame):
        for each in WORDS:
            signal.signal(each, signal.SIG_IGN)
        for cleanup in reversed(_cleanups):
            with contextlib.suppress(OSError):
                cleanup()
        with contextlib.suppress(RuntimeError, OSError):  # the signal came in the middle of a print
            sys.stdout.flush()
        os.write(errors, f"\nrecipes: {WORDS[number]}{advice()}\n".encode())
        os._exit(128 + number)

    try:
        with _handled_by(leave):
            yield
    finally:
        os.close(errors)


@contextlib.contextmanager
def cleaned_up(cleanup):
    """Call `cleanup` after the block, and also when a signal ends the process in it."""
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)
        cleanup()


@contextlib.contextmanager
def killable():
    """Let the system end the process at a signal: in code that is not Python's, a handler of Python would not run."""
    with _handled_by(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def _handled_by(handler):
    try:
        before = {number: signal.signal(number, handler) for number in WORDS}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def leave_others(status):
    """End the process at once if it trains together with others: the exit of Python would wait for these."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
