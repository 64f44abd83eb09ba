import gc
import os
import pathlib
import tempfile

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
ROOT = pathlib.Path(__file__).parents[1]


def pytest_configure(config):
    """Start the backend, for two processes on two cores; with the slow tests it compiles as it does for users."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # it hands out tests to others
    if config.option.markexpr == "not slow":
        _compile_cheaply()
    if BACKEND == "tensorflow":
        _start_tensorflow(config.option.markexpr == "not slow")
    elif BACKEND == "jax":
        _keep_what_jax_compiles(config)
    else:
        import torch

        torch.set_num_threads(1)


def _compile_cheaply():
    """Have XLA, of JAX or TensorFlow, leave out LLVM's optimizations: they are most of what compiling takes."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0".strip()


def _start_tensorflow(cheaply):
    from recipes.machine.quiet import load_backend

    load_backend("tensorflow", touch=False)
    import tensorflow as tf

    # Two logical devices on the one processor, for what tf.distribute does; set before anything runs.
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.threading.set_intra_op_parallelism_threads(1)  # as many processes as cores run tests
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if cheaply:  # graphs that run a few times are not worth a fifth of their test
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def _keep_what_jax_compiles(config):
    """Compile a program once for all tests of this process."""
    import jax

    directory = tempfile.TemporaryDirectory(prefix="keras-descent-jax-")
    config.add_cleanup(directory.cleanup)
    jax.config.update("jax_compilation_cache_dir", directory.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector, name, obj):
    """Mark the cases that `slow_cases` names; one that is not there, on TensorFlow, which has all, is an error.

    And on JAX what `slow_on_jax` marks: compiling is most of what it takes.
    """
    made = yield
    if not isinstance(made, list):
        return made
    for item in made:
        if BACKEND == "jax" and item.get_closest_marker("slow_on_jax"):
            item.add_marker("slow")
    for marker in [marker for item in made[:1] for marker in item.iter_markers("slow_cases")]:
        cases = {item.callspec.id: item for item in made if hasattr(item, "callspec")}
        for case in marker.args:
            if case in cases:
                cases[case].add_marker("slow")
            elif BACKEND == "tensorflow":
                raise collector.CollectError(f"{collector.nodeid}::{name} has no case {case!r}, which slow_cases names")
    return made


def pytest_ignore_collect(collection_path, config):
    """Tests outside of tests/backends and tests/benchmarks are TensorFlow's."""
    outside = collection_path.suffix == ".py" and not {"backends", "benchmarks"} & set(collection_path.parts)
    return True if BACKEND != "tensorflow" and outside else None


@pytest.fixture(autouse=True, scope="module")
def few_collections():
    """Garbage is collected once a file, and what is left is not looked through again: that took a third of all time."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def warm_searches():
    """Searches need not import TensorFlow each time."""
    if BACKEND == "tensorflow":
        from tests import warm

        with warm.searches():
            yield
    else:
        yield


@pytest.fixture(autouse=True)
def fresh_keras():
    """Each test starts from the same seed, dtype policy and names."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def pages():
    """For tests of what commands leave for readers, which others go without."""


@pytest.fixture(autouse=True)
def _no_pages(request, monkeypatch):
    """Pages and model cards take seconds of each training."""
    if "pages" not in request.fixturenames:
        for name in ("write_page", "write_card"):
            monkeypatch.setattr(f"recipes.commands.pages.{name}", lambda directory, **options: None)
