"""Several processes that train together. The first one writes the run, the others write to temporary directories."""

import contextlib
import json
import pathlib
import shutil
import tempfile

import numpy as np

from recipes.errors import CommandError, WorldError
from recipes.machine import strategies
from recipes.machine.leaving import cleaned_up


@contextlib.contextmanager
def run_directory(run_dir):
    """Yield the directory to which this process writes: that of the run, or a temporary one if it is not the first.

    Every process has to save its model: reading a variable is a collective operation, which needs all processes.
    """
    if not strategies.is_one_of_several() or _is_first():
        yield run_dir
        return
    directory = tempfile.mkdtemp(prefix="keras-descent-")
    with cleaned_up(lambda: shutil.rmtree(directory, ignore_errors=True)):
        yield pathlib.Path(directory, "run")


def together(make):
    """Call `make()` in all processes. If one raises a CommandError or a WorldError, all raise it."""
    if not strategies.is_one_of_several():
        return make()
    made = error = None
    try:
        made = make()
    except (CommandError, WorldError) as caught:
        error = caught
    errors = _from_all(str(error or ""))
    if any(errors):
        _disconnect()
        number = next(i for i, text in enumerate(errors) if text)
        raise error or WorldError(f"process {number} ended: {errors[number]}")
    return made


def check_same(config):
    """Raise a CommandError if the settings of this process are not those of the first one."""
    if not strategies.is_one_of_several():
        return
    first = json.loads(_from_all(json.dumps(config))[0])
    together(lambda: _compare(config, first))


def _compare(config, first):
    for name, value in config.items():
        if first.get(name) != value:
            raise CommandError(
                f"--{name.replace('_', '-')}: all processes take the same settings; the first has {first.get(name)}, "
                f"this one {value}"
            )


def result_of(run):
    """The result of the run in the first process; None if the run is not done."""
    if not strategies.is_one_of_several():
        return run.result
    return json.loads(_from_all(json.dumps(run.result))[0])


def bytes_from_first(content):
    """The bytes that the first process has, in every process. A process that trains alone gets its own bytes back."""
    return _from_first(content) if strategies.is_one_of_several() else content


def _disconnect():
    """Disconnect from the other processes. All processes have to do this together."""
    import jax

    jax.distributed.shutdown()


def _is_first():
    import jax

    return jax.process_index() == 0


def _from_all(text):
    """The texts of all processes, a list of str in the order of the processes."""
    from jax.experimental import multihost_utils

    mine = np.frombuffer(text.encode(), np.uint8)
    sizes = np.ravel(multihost_utils.process_allgather(np.array(len(mine))))
    padded = np.zeros(max(int(sizes.max()), 1), np.uint8)
    padded[: len(mine)] = mine
    gathered = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(sizes), -1)
    return [row[:size].tobytes().decode() for row, size in zip(gathered, sizes, strict=True)]


def _from_first(content):
    """The content of the first process, bytes."""
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.array(len(content))))
    mine = np.frombuffer(content, np.uint8) if _is_first() else np.zeros(size, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes()
