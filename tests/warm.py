"""Processes without their start: forks of one that has imported TensorFlow and Keras, for all tests of a worker.

`recipes.tuning.processes` starts a process that imports what trains, which takes seconds, for each search. Where that
start is not what is tested, these forks stand in for it, and `run` for programs that need a process of their own.
"""

import contextlib
import json
import multiprocessing.connection
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import types
from unittest import mock

from recipes.tuning import processes
from tests.conftest import ROOT


@contextlib.contextmanager
def searches():
    """Context in which searches start their processes as forks."""

    def start(command, *, env, pass_fds, **options):
        return SERVER.fork(pass_fds[0], 2, {"environment": env})

    with mock.patch.object(processes, "subprocess", types.SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL)):
        yield
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
        What it has written to standard error; None if all went well.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryFile("w+") as errors:
        with theirs:
            request = {"environment": environment, "code": code, "directory": str(directory)}
            SERVER.fork(theirs.fileno(), errors.fileno(), request)
        with ours, contextlib.suppress(EOFError):  # which comes with its end
            return ours.recv()
        errors.seek(0)
        return errors.read()


class _Fork:
    """What `recipes.tuning.processes` needs of a `Popen`."""

    def __init__(self, pid):
        self.pid = pid

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def wait(self):
        while os.path.exists(f"/proc/{self.pid}"):  # it is a child of the server, which leaves none behind
            time.sleep(0.002)


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
            return _Fork(int(self._socket.recv(64)))

    def _begin(self):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.warm", str(theirs.fileno())]
            nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], **nothing)

    def close(self):
        if self._process is not None:
            self._socket.close()  # upon which it ends
            self._process.wait()
            self._process = None


SERVER = _Server()


def _serve(descriptor):
    from recipes.commands.keras_session import start_keras

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
    from recipes.tuning import fork_server

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(errors, 2)
    with os.fdopen(file) as requested:
        requested.seek(0)
        request = json.load(requested)
    os.environ.clear()
    os.environ.update(request["environment"])
    if "code" not in request:
        fork_server.main(connection)
    status = 1
    try:
        os.chdir(request["directory"])
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
