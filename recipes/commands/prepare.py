import importlib.util
import os

from recipes.errors import WorldError
from recipes.machine.quiet import load_backend


def prepare(archive, data_dir, unverified):
    """Prepare CIFAR-10 from its binary archive, as `recipes.data.cifar10_archive.prepare_cifar10` does."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise WorldError("sets are prepared by tensorflow-datasets: pip install keras-descent[tensorflow]")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    load_backend("tensorflow")
    from recipes.data.cifar10_archive import prepare_cifar10

    print(f"Prepared {prepare_cifar10(archive, data_dir, unverified)}")
