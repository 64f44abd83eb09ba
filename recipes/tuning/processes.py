import functools
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import typing

import cloudpickle

from recipes.errors import WorldError
from recipes.tuning.requests import Kill, Setup, Start, Take

CALL = -1  # number of what is no trial
GONE = "the process that trials are started from has ended; the same command goes on"


class Ended(typing.NamedTuple):
    """A trial that has ended: its number, and what its work returned or, in one line, why it did not.

    `of_the_world` says that any other trial would end like that too: the disk is full, or the images are not there.
    """

    number: int
    answer: dict | None
    error: str | None = None
    of_the_world: bool = False


class Processes:
    """Processes used once: each is a fork of one that has imported Keras and touched no device.

    Args:
        shared: what all trials get, pickled once; classes and functions of a notebook too, by cloudpickle.
        strategy: as `--strategy` has it.
        dtype: of the recipe, "float64" or None.

    Raises:
        WorldError: Keras cannot be started, or something cannot be pickled.
    """

    def __init__(self, shared=None, strategy="auto", dtype=None):
        setup = Setup([os.path.abspath(each) for each in sys.path], strategy, dtype, dumps(shared))
        self._answers = tempfile.TemporaryDirectory(prefix="keras-descent-")
        self._connection, other = multiprocessing.Pipe()
        with other:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "recipes.tuning.fork_server", str(other.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(setup.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,  # Ctrl-C is for the search, which ends it
            )
        self._send(setup)
        said = self._hear()
        if "error" in said:
            self.close()
            raise WorldError(said["error"])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def start(self, number, work, log, cores, gpus=None):
        """Start a trial.

        Args:
            number: int, its own.
            work: function of what is shared; it returns a dict for JSON.
            log: path of the file that its output is added to.
            cores: ints, of the processor, which it may use.
            gpus: strs, as CUDA_VISIBLE_DEVICES has them; None for whatever there is.
        """
        pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
        self._send(Start(number, dumps(work), os.fspath(log), self._answer(number), tuple(cores), gpus))

    def call(self, function):
        """What a function of what is shared returns, called in a process of its own while no trial runs.

        Raises:
            WorldError: it failed.
        """
        self.start(CALL, function, self._scratch("output.txt"), sorted(os.sched_getaffinity(0)))
        while not (ended := self.ended(timeout=60)):
            pass
        if ended[0].error is not None:
            raise WorldError(ended[0].error)
        return ended[0].answer

    def share(self, look):
        """Let all trials from here on share data that are loaded once.

        Args:
            look: function as `recipes.tuning.work.look`.

        Returns:
            What it returns.
        """
        path = self._scratch("data")
        found = self.call(functools.partial(look, path=path))
        self._send(Take(path))
        return found

    def kill(self, number):
        """End a trial now; it is among the ended ones then."""
        self._send(Kill(number))

    def ended(self, timeout):
        """Wait for at most `timeout` seconds, and give the trials that have ended since, as `Ended`.

        Raises:
            WorldError: the process that all are forks of has ended.
        """
        found = []
        while self._connection.poll(0 if found else timeout):
            found.append(self._result(**self._hear()))
        return found

    def close(self):
        """End all that is running."""
        self._server.kill()
        self._server.wait()
        self._connection.close()
        self._answers.cleanup()

    def _send(self, request):
        try:
            self._connection.send(request)
        except ConnectionError as error:
            raise WorldError(GONE) from error

    def _hear(self):
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise WorldError(GONE) from error

    def _scratch(self, name):
        """Path of a file that is there until these are closed."""
        return os.path.join(self._answers.name, name)

    def _answer(self, number):
        return self._scratch(f"{number}.json")

    def _result(self, ended, status):
        path = pathlib.Path(self._answer(ended))
        if not path.exists():
            return Ended(ended, None, f"its process ended with {_in_words(status)}")
        answer = json.loads(path.read_text())
        path.unlink()
        return Ended(ended, answer.get("answer"), answer.get("error"), answer.get("of_the_world", False))


def dumps(thing):
    """A pickle, with what is defined in a notebook or script in it.

    Raises:
        WorldError: something cannot be pickled.
    """
    try:
        return cloudpickle.dumps(thing)
    except Exception as error:
        raise WorldError(
            f"trials are processes of their own, and {thing!r} cannot be sent to one: {error}; make what cannot be "
            "sent in `build` or `fit`"
        ) from error


def _in_words(status):
    return f"signal {-status}" if status < 0 else f"status {status}"


def cores_of(workers):
    """The cores that this process may use, shared out among workers: a list of tuples, each of one core at least."""
    cores = sorted(os.sched_getaffinity(0))
    if workers >= len(cores):
        return [(cores[i % len(cores)],) for i in range(workers)]
    return [tuple(cores[i::workers]) for i in range(workers)]


def gpus_of(workers):
    """The GPUs that CUDA_VISIBLE_DEVICES or the machine has, shared out likewise; None for each if there are none."""
    gpus = visible_gpus()
    if not gpus:
        return [None] * workers
    if workers >= len(gpus):
        return [(gpus[i % len(gpus)],) for i in range(workers)]
    return [tuple(gpus[i::workers]) for i in range(workers)]


def visible_gpus():
    """Names of the GPUs, found without touching one."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name and name != "-1"]
    there = pathlib.Path("/proc/driver/nvidia/gpus")
    return [str(i) for i in range(len(list(there.iterdir())))] if there.is_dir() else []
