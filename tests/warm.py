"""The processes of searches without their start: forks of one that has imported Keras, for all tests of a worker.

`recipes.tuning.processes` starts a process that imports what trains, which takes seconds, for each search. Where that
start is not what is tested, `Popen` stands in for that of `subprocess` there.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from unittest import mock

from recipes.tuning import processes
from tests.conftest import ROOT


@contextlib.contextmanager
def starts():
    """Context in which searches start their processes as forks."""
    server = _Server()
    instead = types.SimpleNamespace(Popen=server.fork, DEVNULL=subprocess.DEVNULL)
    with contextlib.closing(server), mock.patch.object(processes, "subprocess", instead):
        yield


def cold():
    """Context in which they start them as users do."""
    return mock.patch.object(processes, "subprocess", subprocess)


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

    def fork(self, command, *, env, pass_fds, **options):
        if self._process is None:
            self._begin()
        with os.fdopen(os.memfd_create("environment"), "w") as file:  # too long for a message
            json.dump(env, file)
            file.flush()
            socket.send_fds(self._socket, [b"fork"], [*pass_fds, file.fileno(), 2])
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


def _serve(descriptor):
    from recipes.commands.keras_session import start_keras

    start_keras(touch=False)
    from recipes.tuning import fork_server

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what has ended leaves nothing behind
    with socket.socket(fileno=descriptor) as asked:
        while True:
            message, descriptors, *_ = socket.recv_fds(asked, 64, 3)
            if not message:
                return
            process = os.fork()
            if not process:
                asked.close()
                search, environment, errors = descriptors
                _become(environment, errors)
                fork_server.main(search)
            for each in descriptors:
                os.close(each)
            asked.send(str(process).encode())


def _become(environment, errors):
    """Make a fork what a process that was started would be."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(errors, 2)
    os.close(errors)
    with os.fdopen(environment) as file:
        file.seek(0)
        os.environ.clear()
        os.environ.update(json.load(file))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
