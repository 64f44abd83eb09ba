"""A process that has imported Keras and touched no device, of which each trial is a fork.

Importing Keras takes seconds, a fork milliseconds; a trial that is a process of its own gives all of its memory back
and crashes alone. `recipes.workers.processes.Processes` starts this and speaks with it as `recipes.workers.requests`
has it: it sends a `Setup`, is answered with `Ready` or `Refused`, sends `Start`, `Kill` and `Adopt` as it needs them,
and is told of each trial that has `Ended`. Trials end with this process, and it ends with the one that started it.

What a fork answers, and what it leaves for all, is kept in memory, so that no disk has to have room for it.

The forkserver of `multiprocessing` was tried and does not hold: it is one for the whole process, so that the second
search in a notebook is given the data of the first; a script without `if __name__ == "__main__"` cannot search; and
trials go on when the search is killed.
"""

import contextlib
import ctypes
import gc
import json
import multiprocessing.connection
import os
import pickle
import signal
import sys
import traceback
import typing
import warnings

from recipes import training
from recipes.errors import CommandError, WorldError, one_line
from recipes.machine.backend import start_keras
from recipes.workers.requests import BUG, DEATH, SETTINGS, WORLD, Adopt, Ended, Ready, Refused, Start

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Fork(typing.NamedTuple):
    """A trial that runs: its number, and the file in memory that its answer goes to."""

    number: int
    answer: int


def main(descriptor):
    """Serve the search at the other end of a connection.

    Args:
        descriptor: int, of the file.
    """
    search = multiprocessing.connection.Connection(descriptor)
    with contextlib.suppress(EOFError, ConnectionError):  # the search has ended, and its trials with this process
        try:
            shared = _prepare(search.recv())
        except Exception as error:
            search.send(Refused(str(error) or type(error).__name__))
            return
        search.send(Ready())
        _serve(search, shared)
    os._exit(0)  # at once, and the trials with it: the exit of Python takes a second in which they would go on


def _prepare(setup):
    """Import what trials need, and give what they share."""
    sys.path[:], sys.argv = setup.path, setup.arguments
    start_keras(setup.strategy, setup.float64, touch=False)
    _import_what_trials_need()
    shared = pickle.loads(setup.shared)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    return shared


def _import_what_trials_need():
    """Import it here, once, so that no fork has to: a lazy package imports a module when a name of it is asked for."""
    return training.fit, training.find_rates, training.train


def _serve(search, shared):
    """Fork for each request, and tell of each fork that has ended."""
    woken, wake = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    forks = {}  # by process
    while True:
        ready = multiprocessing.connection.wait([search, woken])
        if woken in ready:
            os.read(woken, 4096)
            _reap(forks, search)
        if search in ready:
            request = search.recv()
            if isinstance(request, Start):
                answer = os.memfd_create("keras-descent-answer")
                forks[_fork(request, shared, answer, (search.fileno(), woken, wake))] = Fork(request.number, answer)
            elif isinstance(request, Adopt):
                shared.adopt()
            else:
                _kill(forks, request.number)


def _kill(forks, wanted):
    for process, fork in forks.items():
        if fork.number == wanted:
            os.kill(process, signal.SIGKILL)


def _reap(forks, search):
    for process, fork in list(forks.items()):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            del forks[process]
            search.send(_ended(fork, os.waitstatus_to_exitcode(status)))


def _ended(fork, status):
    with open(fork.answer, "rb") as file:  # which it closes
        file.seek(0)
        try:
            return Ended(fork.number, **json.loads(file.read()))
        except ValueError:  # nothing, or half of it
            how = f"signal {-status}" if status < 0 else f"status {status}"
            return Ended(fork.number, None, f"its process ended with {how}", DEATH)


def _fork(start, shared, answer, others):
    """The pid of a fork that does what a trial does, in which the files `others` are closed."""
    server = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of JAX, whose threads have not begun
        process = os.fork()
    if process:
        return process
    try:
        _become(server, others)
        with open(answer, "w") as file:
            file.write(_answer(start, shared))
        os._exit(0)
    finally:  # whatever happens, a fork does not go on as a server
        os._exit(1)


def _become(server, others):
    """Make a fork a process of its own that ends with the server."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != server:  # which ended before that
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in others:
        os.close(each)


def _answer(start, shared):
    """What a trial comes to: the fields of `Ended` but for its number, as JSON."""
    try:
        _use(start)
        answer = pickle.loads(start.work)(shared)
        sys.stdout.flush()  # a disk that is full says so here at the latest
        return json.dumps({"answer": answer})
    except CommandError as error:
        return _error(str(error), SETTINGS)
    except (WorldError, OSError) as error:
        return _error(one_line(error), WORLD)
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return _error(f"{type(error).__name__}: {one_line(error)}", BUG)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # of a disk that is full
                stream.flush()


def _error(text, cause):
    return json.dumps({"answer": None, "error": text, "cause": cause})


def _use(start):
    """Send output to the log of the trial, and use no more cores and GPUs than it may."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if start.log is not None:
        log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
    if start.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(start.gpus)
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several trials may share one
    os.sched_setaffinity(0, start.cores)
    _use_threads(len(start.cores))


def _use_threads(count):
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    elif keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(count)


if __name__ == "__main__":
    main(int(sys.argv[1]))
