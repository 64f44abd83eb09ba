import multiprocessing
import os
import pathlib
import subprocess
import sys

import cloudpickle

from recipes.errors import CommandError, WorldError
from recipes.workers.requests import SETTINGS, Kill, Refused, Setup, Start, Take

CALL = -1  # number of what is no trial
GONE = "the process that trials are started from has ended; the same command goes on"


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
        setup = Setup([os.path.abspath(each) for each in sys.path], sys.argv, strategy, dtype, dumps(shared))
        self._connection, other = multiprocessing.Pipe()
        with other:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "recipes.workers.fork_server", str(other.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(setup.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,  # Ctrl-C is for the search, which ends it
            )
        self._send(setup)
        said = self._hear()
        if isinstance(said, Refused):
            self.close()
            raise WorldError(said.error)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def start(self, number, work, log, cores, gpus=None):
        """Start a trial.

        Args:
            number: int, its own.
            work: function of what is shared; it returns a dict for JSON.
            log: path of the file that its output is added to; None for errors alone, to where those of the search go.
            cores: ints, of the processor, which it may use.
            gpus: strs, as CUDA_VISIBLE_DEVICES has them; None for whatever there is.
        """
        if log is not None:
            log = os.path.abspath(log)
            pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
        self._send(Start(number, dumps(work), log, tuple(cores), gpus))

    def call(self, function, cores=None):
        """What a function of what is shared returns, called in a process of its own while no trial runs.

        Args:
            function: of what is shared.
            cores: as for `start`; None: all.

        Raises:
            CommandError: it raised that.
            WorldError: it failed otherwise.
        """
        self.start(CALL, function, None, sorted(os.sched_getaffinity(0)) if cores is None else cores)
        while not (ended := self.ended(timeout=60)):
            pass
        if ended[0].error is not None:
            raise (CommandError if ended[0].cause == SETTINGS else WorldError)(ended[0].error)
        return ended[0].answer

    def share(self, look):
        """Let all trials from here on share data that are loaded once.

        Args:
            look: function as `recipes.tuning.work.look`.

        Returns:
            What it returns.
        """
        found = self.call(look)
        self._send(Take())
        return found

    def kill(self, number):
        """End a trial now; it is among the ended ones then."""
        self._send(Kill(number))

    def ended(self, timeout):
        """Wait for at most `timeout` seconds, and give the trials that have ended since, as `Ended` of `requests`.

        Raises:
            WorldError: the process that all are forks of has ended.
        """
        found = []
        while self._connection.poll(0 if found else timeout):
            found.append(self._hear())
        return found

    def close(self):
        """End all that is running."""
        self._server.kill()
        self._server.wait()
        self._connection.close()

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
