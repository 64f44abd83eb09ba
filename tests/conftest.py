import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import pytest

BACKEND = keras.backend.backend()

if BACKEND == "tensorflow":
    import tensorflow as tf

    # Two logical devices on the one processor, for what tf.distribute does; set before anything runs.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


ROOT = pathlib.Path(__file__).parents[1]
SLOW = frozenset((ROOT / "tests" / "slow.txt").read_text().splitlines())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Those of slow.txt are left out unless `-m` says otherwise."""
    for item in items:
        if item.nodeid in SLOW:
            item.add_marker("slow")


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


@pytest.fixture(autouse=True)
def fresh_keras():
    """Each test starts from the same seed, dtype policy and names."""
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
    """Pages, and the predictions they show, take seconds of each training."""
    if "pages" not in request.fixturenames:
        monkeypatch.setattr("recipes.command_line._write_page", lambda *given, **named: None)
        monkeypatch.setattr("recipes.cifar10_cnn._write_confusion", lambda *given: None)
