"""Several processes that train together: the first keeps the run, the others work for it in temporary directories."""

import contextlib
import json
import pathlib
import shutil
import tempfile

import numpy as np

from recipes import strategies
from recipes.errors import CommandError, WorldError
from recipes.leaving import cleaned_up

STATE = "state.npz"


@contextlib.contextmanager
def run_directory(run_dir):
    """The directory that this process writes its run to: the run's own, or one that is thrown away.

    Every process has to save what it trains, since reading the variables is a meeting of all.
    """
    if not strategies.is_one_of_several() or _is_first():
        yield run_dir
        return
    directory = tempfile.mkdtemp(prefix="keras-descent-")
    with cleaned_up(lambda: shutil.rmtree(directory, ignore_errors=True)):
        yield pathlib.Path(directory, "run")


def together(make):
    """What `make()` gives. If the first process fails with a CommandError or a WorldError, all do."""
    if not strategies.is_one_of_several():
        return make()
    try:
        made, error = make(), None
    except (CommandError, WorldError) as caught:
        made, error = None, caught
    said = _from_first(b"" if error is None else str(error).encode())
    if error is not None or said:
        _part()
    if error is not None:
        raise error
    if said:
        raise WorldError(f"the first process ended: {said.decode()}")
    return made


def result_of(run):
    """The result of the run that the first process keeps, None while it is not done."""
    if not strategies.is_one_of_several():
        return run.result
    return json.loads(_from_first(json.dumps(run.result).encode()))


def share_state(run):
    """Give every process the state that the first one goes on from."""
    if not strategies.is_one_of_several():
        return
    path = run.directory / STATE
    content = _from_first(path.read_bytes() if path.exists() else b"")
    if content and not _is_first():
        path.write_bytes(content)


def _part():
    """Take leave of the other processes, all at once."""
    import jax

    jax.distributed.shutdown()


def _is_first():
    import jax

    return jax.process_index() == 0


def _from_first(content):
    """What the first process has: bytes."""
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.array(len(content))))
    mine = np.frombuffer(content, np.uint8) if _is_first() else np.zeros(size, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes()
