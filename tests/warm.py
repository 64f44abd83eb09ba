"""Processes without their start: forks of one that has imported TensorFlow and Keras, for all tests of a worker.

`recipes.workers.processes` starts a process that imports what trains, which takes seconds, for each search. Where that
start is not what is tested, these forks stand in for it, and `run` for programs that need a process of their own.
"""

import contextlib
import ctypes
import json
import multiprocessing.connection
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import types
from unittest import mock

from recipes.workers import processes
from tests.conftest import ROOT

ENVIRONMENT = dict(os.environ)  # not that of the test which is the first to need a fork
LONGEST = 400  # seconds of a program


@contextlib.contextmanager
def searches():
    """Context in which searches start their processes as forks."""

    def start(command, *, env, pass_fds, **options):
        return SERVER.fork(pass_fds[0], 2, {"environment": env, "directory": os.getcwd()})

    with mock.patch.object(processes, "subprocess", types.SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)):
        try:
            yield
        finally:
            SERVER.close()


def cold():
    """Context in which they start them as users do."""
    return mock.patch.object(processes, "subprocess", subprocess)


def run(code, directory, environment):
    """Run a program.

    Args:
        code: str, Python.
        directory: str or path in which it runs.
        environment: dict, its variables.

    Returns:
        What it has written to standard error, and how it ended; None if all went well.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryFile("w+") as errors:
        with theirs:
            request = {"environment": environment, "code": code, "directory": str(directory)}
            fork = SERVER.fork(theirs.fileno(), errors.fileno(), request)
        with ours, contextlib.suppress(EOFError):  # which comes with its end
            if ours.poll(LONGEST):
                return ours.recv()
        fork.kill()
        errors.seek(0)
        return f"{errors.read()}\nIt has not come to its end, or took more than {LONGEST} s."


class _Fork:
    """What `recipes.workers.processes` needs of a `Popen`, by a descriptor of the process, which is none of ours."""

    def __init__(self, pid):
        self.pid, self._descriptor = pid, None
        with contextlib.suppress(ProcessLookupError):  # it has ended
            self._descriptor = os.pidfd_open(pid)

    def kill(self):
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self):
        if self._descriptor is not None:
            select.select([self._descriptor], [], [])
            os.close(self._descriptor)
            self._descriptor = None


class _Server:
    """The process that has imported Keras and touched no device; begun when it is first asked."""

    def __init__(self):
        self._socket = self._process = None

    def fork(self, connection, errors, request):
        """A fork of it that has two files of this process."""
        if self._process is None:
            self._begin()
        with tempfile.TemporaryFile("w") as file:  # too long for a message
            json.dump(request, file)
            file.flush()
            socket.send_fds(self._socket, [b"fork"], [connection, errors, file.fileno()])
            said = self._socket.recv(64)
            assert said, "the process that imports TensorFlow for the tests has ended"
            return _Fork(int(said))

    def _begin(self):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.warm", str(theirs.fileno())]
            nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            own = {"cwd": ROOT, "env": ENVIRONMENT, "pass_fds": [theirs.fileno()]}
            self._process = subprocess.Popen(command, **own, **nothing)

    def close(self):
        if self._process is not None:
            self._socket.close()  # upon which it ends
            self._process.wait(60)
            self._process = None


SERVER = _Server()


def _serve(descriptor):
    from recipes.machine.backend import start_keras

    start_keras(touch=False)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what has ended leaves nothing behind
    with socket.socket(fileno=descriptor) as asked:
        while True:
            message, descriptors, *_ = socket.recv_fds(asked, 64, 3)
            if not message:
                return
            process = os.fork()
            if not process:
                asked.close()
                _become(*descriptors)
            for each in descriptors:
                os.close(each)
            asked.send(str(process).encode())


def _become(connection, errors, file):
    """Make a fork what a process that was started would be, and do what it is for."""
    from recipes.workers import fork_server

    status = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(fork_server.DIE_WITH_PARENT, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(errors, 2)
        with os.fdopen(file) as requested:
            requested.seek(0)
            request = json.load(requested)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        if "code" not in request:
            fork_server.main(connection)
            os._exit(0)
        exec(request["code"], {"__name__": "__main__"})
        multiprocessing.connection.Connection(connection).send(None)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
