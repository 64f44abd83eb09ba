import importlib
import importlib.util
import os
import sys

from recipes.errors import CommandError, WorldError, one_line
from recipes.machine import strategies
from recipes.machine.leaving import killable
from recipes.machine.quiet import load_backend, without_log_lines
from recipes.settings.nearest import unknown

BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}  # name: package


def start_keras(strategy="auto", float64=False, join=False, touch=True):
    """Import what trains: Keras on the backend of KERAS_BACKEND, and pictures that go to files.

    Args:
        strategy: as `recipes.machine.strategies.parse_strategy` takes it; decides what the backend may use.
        float64: bool, whether that is needed, which JAX has to be told.
        join: bool. Meet the other processes, if this is one of several.
        touch: bool. False in a process that is to be forked: it leaves the devices alone.

    Raises:
        CommandError, WorldError: the backend is unknown, or not installed, or one of several processes that cannot be.
    """
    backend = choose_backend()
    strategies.check_hosts()
    name, count = strategies.parse_strategy(strategy)
    if backend == "jax":
        _prepare_jax(name, count, float64)
    load_backend(BACKENDS[backend], touch)
    if backend != "tensorflow" and importlib.util.find_spec("tensorflow"):
        load_backend("tensorflow", touch=False)  # as Keras does when it sets a seed, and then with log lines
    if join and strategies.is_one_of_several():
        with killable():
            _join()


def import_foreign(module):
    """Import a module that is not of this package, which may import Keras itself: on the backend of KERAS_BACKEND.

    Raises:
        CommandError, WorldError: the backend is unknown, or not installed.
    """
    if module in sys.modules:
        return sys.modules[module]
    choose_backend()
    with without_log_lines():
        return importlib.import_module(module)


def choose_backend():
    """Decide, before Keras is imported, what it will compute with, and give the backend's name."""
    backend = os.environ["KERAS_BACKEND"] = backend_name()
    if backend not in BACKENDS:
        raise CommandError(f"KERAS_BACKEND: {unknown('backend', backend, BACKENDS)}")
    if importlib.util.find_spec(BACKENDS[backend]) is None:
        raise WorldError(f"KERAS_BACKEND is '{backend}', which is not installed: pip install keras-descent[{backend}]")
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, whatever is set for windows
    return backend


def backend_name():
    """That of Keras if it has been imported, or else KERAS_BACKEND, or TensorFlow, or what is installed."""
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    installed = (name for name, package in BACKENDS.items() if importlib.util.find_spec(package))
    return os.environ.get("KERAS_BACKEND") or next(installed, "tensorflow")


def _prepare_jax(name, count, float64):
    """What JAX reads when it is loaded, or is told afterwards; the flags are read when it looks for devices."""
    if float64:
        _set_in_jax("JAX_ENABLE_X64", "1", True)
    if name == "cpu":
        _set_in_jax("JAX_PLATFORMS", "cpu", "cpu")
    flags = os.environ.get("XLA_FLAGS", "")
    if count and "xla_force_host_platform_device_count" not in flags:  # of a processor; GPUs are what they are
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={count}".strip()


def _set_in_jax(variable, text, value):
    os.environ[variable] = text
    if "jax" in sys.modules:  # as a recipe's module that imports Keras at its top has done
        sys.modules["jax"].config.update(variable.lower(), value)


def _join():
    """Meet the other processes of this training."""
    import jax
    import keras

    if jax.distributed.is_initialized():
        return
    if given := os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES"):
        print(f"Meeting the other processes at {given.partition(',')[0]}; that takes up to 5 minutes.", flush=True)
    try:
        keras.distribution.initialize()
    except Exception as error:  # whatever a wrong address, a wrong number or a missing process leads to
        names = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
        given = ", ".join(f"{name}={os.environ.get('KERAS_DISTRIBUTION_' + name)}" for name in names)
        raise WorldError(
            f"could not meet the other processes (KERAS_DISTRIBUTION_…: {given}): {one_line(error)}"
        ) from error
    if jax.process_index() > 0:  # the first one speaks for all
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
