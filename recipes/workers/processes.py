import multiprocessing
import os
import pathlib
import subprocess
import sys

from recipes.errors import CommandError, WorldError
from recipes.workers.pickles import dumps
from recipes.workers.requests import SETTINGS, Adopt, Kill, Refused, Setup, Start

CALL = -1  # number of what is no trial
GONE = "the process that trials are started from has ended; the same command goes on"


class Processes:
    """Processes used once: each is a fork of one that has imported Keras and touched no device.

    Args:
        shared: what all trials are given first, pickled once by cloudpickle: it may be made of classes and functions
            of a notebook.
        strategy: as `--strategy` has it.
        float64: bool, whether the recipe computes in that.

    Raises:
        WorldError: Keras cannot be started, or something cannot be pickled.
    """

    def __init__(self, shared=None, strategy="auto", float64=False):
        setup = Setup([os.path.abspath(each) for each in sys.path], sys.argv, strategy, float64, dumps(shared))
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
            look: function as `recipes.tuning.work.look`, which leaves data for all.

        Returns:
            What it returns.
        """
        found = self.call(look)
        self._send(Adopt())
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
