import multiprocessing
import os
import pathlib
import subprocess
import sys

from recipes.errors import CommandError, WorldError
from recipes.workers.pickles import dumps
from recipes.workers.requests import SETTINGS, Kill, Refused, Setup, Start, TakeOver

CALL_NUMBER = -1  # the number of a function call; trials have numbers from 0
GONE = "the process that starts trials has ended; the same command goes on"


class Processes:
    """Starts processes for trials. A server, which has imported Keras and has not touched a device, forks them.

    Args:
        shared: the first argument of all functions that trials call. It is pickled once by cloudpickle, so its classes
            and functions may be defined in a notebook.
        strategy: str, as for `--strategy`.
        float64: bool, whether the recipe computes in float64.

    Raises:
        WorldError: Keras cannot be started, or `shared` cannot be pickled.
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
                start_new_session=True,  # Ctrl-C reaches only the search, which then ends the server
            )
        self._send(setup)
        answer = self._receive()
        if isinstance(answer, Refused):
            self.close()
            raise WorldError(answer.error)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def start(self, number, work, log, cores, gpus=None):
        """Start a trial.

        Args:
            number: int >= 0, by which `ended` and `kill` name the trial.
            work: function that takes `shared` and returns a dict that can be written as JSON.
            log: path of the file to which its output is appended. None: errors go to the standard error of the search,
                and other output is dropped.
            cores: ints, the cores that it may use.
            gpus: strs, as in CUDA_VISIBLE_DEVICES; None for all GPUs.
        """
        if log is not None:
            log = os.path.abspath(log)
            pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
        self._send(Start(number, dumps(work), log, tuple(cores), gpus))

    def call(self, function, cores=None):
        """Call a function in a separate process, while no trial runs, and return its result.

        Args:
            function: takes `shared` and returns a dict that can be written as JSON.
            cores: as for `start`; None for all cores.

        Raises:
            CommandError: the function raised a CommandError.
            WorldError: the function failed for another reason.
        """
        self.start(CALL_NUMBER, function, None, sorted(os.sched_getaffinity(0)) if cores is None else cores)
        while not (ended := self.ended(timeout=60)):
            pass
        if ended[0].error is not None:
            raise (CommandError if ended[0].cause == SETTINGS else WorldError)(ended[0].error)
        return ended[0].answer

    def share(self, load):
        """Load data once for all later trials.

        Args:
            load: function as `recipes.tuning.work.load_data`, which hands the data over to the server.

        Returns:
            What the function returns.
        """
        found = self.call(load)
        self._send(TakeOver())
        return found

    def kill(self, number):
        """Kill a trial. `ended` will report it."""
        self._send(Kill(number))

    def ended(self, timeout):
        """Wait for at most `timeout` seconds. Returns the trials that have ended, a list of `Ended` of `requests`.

        Raises:
            WorldError: the server has ended.
        """
        found = []
        while self._connection.poll(0 if found else timeout):
            found.append(self._receive())
        return found

    def close(self):
        """Kill the server and all trials."""
        self._server.kill()
        self._server.wait()
        self._connection.close()

    def _send(self, request):
        try:
            self._connection.send(request)
        except ConnectionError as error:
            raise WorldError(GONE) from error

    def _receive(self):
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise WorldError(GONE) from error
