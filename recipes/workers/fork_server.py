"""The server: a process that has imported Keras and has not touched a device. It forks a process for each trial.

Importing Keras takes seconds, a fork milliseconds. A trial in a separate process frees all of its memory at its end,
and its crash ends nothing else. `recipes.workers.processes.Processes` starts the server and sends it the messages of
`recipes.workers.requests`: first a `Setup`, which is answered by `Ready` or `Refused`, then `Start`, `Kill` and
`TakeOver`. The server sends an `Ended` for each trial that has ended. If the server ends, so do all trials; if the
process that started it ends, so does the server.

Answers and data of forks are kept in files in memory, so they need no room on a disk.

The forkserver of `multiprocessing` cannot be used. There is one for the whole process, so the second search in a
notebook would get the data of the first; a script without `if __name__ == "__main__"` could not search; and trials
would go on when the search is killed.
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
from recipes.workers.requests import BUG, DEATH, SETTINGS, WORLD, Ended, Ready, Refused, Start, TakeOver

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Fork(typing.NamedTuple):
    """A trial that runs: its number, and the descriptor of the file in memory to which its answer is written."""

    number: int
    answer: int


def main(descriptor):
    """Serve the search at the other end of a connection.

    Args:
        descriptor: int, file descriptor of the connection.
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
    os._exit(0)  # at once: during Python's usual exit, which takes a second, trials would go on


def _prepare(setup):
    """Import what trials need. Returns the object that they share."""
    sys.path[:], sys.argv = setup.path, setup.arguments
    start_keras(setup.strategy, setup.float64, touch=False)
    _import_what_trials_need()
    shared = pickle.loads(setup.shared)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    return shared


def _import_what_trials_need():
    """Import modules once, before the forks: a lazy package imports a module only when a name in it is used."""
    return training.fit, training.find_rates, training.train


def _serve(search, shared):
    """Answer the requests of the search, and report each fork that has ended."""
    wake_reader, wake_writer = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    forks = {}  # by process id
    while True:
        ready = multiprocessing.connection.wait([search, wake_reader])
        if wake_reader in ready:
            os.read(wake_reader, 4096)
            _reap(forks, search)
        if search in ready:
            request = search.recv()
            if isinstance(request, Start):
                answer = os.memfd_create("keras-descent-answer")
                process = _fork(request, shared, answer, (search.fileno(), wake_reader, wake_writer))
                forks[process] = Fork(request.number, answer)
            elif isinstance(request, TakeOver):
                shared.take_over()
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
    with open(fork.answer, "rb") as file:  # the file is closed at the end of the block
        file.seek(0)
        try:
            return Ended(fork.number, **json.loads(file.read()))
        except ValueError:  # the answer is not complete
            how = f"signal {-status}" if status < 0 else f"status {status}"
            return Ended(fork.number, None, f"its process ended with {how}", DEATH)


def _fork(start, shared, answer, others):
    """Fork a process for a trial, in which the files `others` are closed. Returns its process id."""
    server = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # JAX warns of its threads, which have not begun
        process = os.fork()
    if process:
        return process
    try:
        _detach(server, others)
        with open(answer, "w") as file:
            file.write(_answer(start, shared))
        os._exit(0)
    finally:  # so that a fork never goes on as a server
        os._exit(1)


def _detach(server, others):
    """Separate a fork from the server's signals and files, and let it end when the server ends."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != server:  # the server ended before the call of prctl
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in others:
        os.close(each)


def _answer(start, shared):
    """Do the work of a trial. Returns the fields of `Ended`, without the number, as JSON."""
    try:
        _limit_devices(start)
        answer = pickle.loads(start.work)(shared)
        sys.stdout.flush()  # a full disk raises its error here at the latest
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
            with contextlib.suppress(OSError):  # a full disk
                stream.flush()


def _error(text, cause):
    return json.dumps({"answer": None, "error": text, "cause": cause})


def _limit_devices(start):
    """Send output to the log of the trial, and use only its cores and GPUs."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if start.log is not None:
        log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
    if start.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(start.gpus)
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several trials may share a GPU
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
