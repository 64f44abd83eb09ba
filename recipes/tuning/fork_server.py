"""A process that has imported Keras and touched no device, of which each trial is a fork.

Importing Keras takes seconds, a fork milliseconds; a trial that is a process of its own gives all of its memory back
and crashes alone. `recipes.tuning.processes.Processes` starts this and speaks with it: it sends a `Setup`, is answered
with {"ready": True} or {"error": …}, sends a `Start`, a `Kill` or a `Take` each, and is told {"ended": number,
"status": …} of each trial. Trials end with this process, and it ends with the one that started it.
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
import warnings

from recipes.tuning.requests import Start, Take

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def main(descriptor):
    """Serve the search at the other end of a connection.

    Args:
        descriptor: int, of the file.
    """
    with multiprocessing.connection.Connection(descriptor) as search:
        try:
            shared = _prepare(search.recv())
        except Exception as error:
            search.send({"error": str(error) or type(error).__name__})
            return
        search.send({"ready": True})
        with contextlib.suppress(EOFError, ConnectionError):  # the search has ended, and its trials with this process
            _serve(search, shared)
        os._exit(0)  # at once, and the trials with it: the exit of Python takes a second in which they would go on


def _prepare(setup):
    sys.path[:] = setup.path
    from recipes.commands.keras_session import start_keras

    start_keras(setup.strategy, setup.dtype, touch=False)
    import recipes.data
    import recipes.training  # noqa: F401

    shared = pickle.loads(setup.shared)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    return shared


def _serve(search, shared):
    """Fork for each request, and tell of each fork that has ended."""
    woken, wake = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    numbers = {}  # of trials, by process
    while True:
        ready = multiprocessing.connection.wait([search, woken])
        if woken in ready:
            os.read(woken, 4096)
            _reap(numbers, search)
        if search in ready:
            request = search.recv()
            if isinstance(request, Start):
                numbers[_fork(request, shared)] = request.number
            elif isinstance(request, Take):
                shared.take(request.path)
            else:
                _kill(numbers, request.number)


def _kill(numbers, wanted):
    for process, number in numbers.items():
        if number == wanted:
            os.kill(process, signal.SIGKILL)


def _reap(numbers, search):
    while numbers:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        search.send({"ended": numbers.pop(process), "status": os.waitstatus_to_exitcode(status)})


def _fork(start, shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of JAX, whose threads have not begun
        process = os.fork()
    if process:
        return process
    status = 1
    try:
        _become(start)
        _work(start, shared)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _become(start):
    """Make a fork a process of its own: signals, output, and what it may use."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
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


def _work(start, shared):
    """Do what a trial does; its answer is written whole or not at all."""
    from callbacks.write_whole import write_whole
    from recipes.errors import CommandError, WorldError, one_line

    try:
        answer = {"answer": pickle.loads(start.work)(shared)}
    except CommandError as error:
        answer = {"error": str(error)}
    except (WorldError, OSError) as error:  # the trial's settings are not to blame
        answer = {"error": one_line(error), "of_the_world": True}
    except Exception as error:
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {one_line(error)}"}
    write_whole(start.answer, lambda part: part.write_text(json.dumps(answer)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
