"""How Ctrl-C and SIGTERM end a command: at once, but never in the middle of a write.

An exception raised from a signal is lost where Python happens to be in a callback of the garbage collector, in an
import, or in code that catches everything; the command would go on as if nothing had been. And nothing has to be
unwound: files are written whole or not at all, and locks end with the process. So the process just ends, which
`callbacks.uninterrupted` delays until a write is done.
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
        advice: function without arguments that gives what the line says besides.
    """
    errors = os.dup(2)  # standard error may be turned elsewhere when a signal comes

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
    """Let signals end the process as the system does, where code that is not Python's would not let them."""
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
    """End the process at once if it trains together with others, for whom the exit of Python would wait."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
