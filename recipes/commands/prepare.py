import importlib.util
import os

from recipes import data as sets
from recipes.commands.parser import add_command, add_data_dir
from recipes.errors import WorldError
from recipes.machine.quiet import load_backend


def add(commands, name):
    """Add the parser of `prepare`."""
    parser = add_command(commands, name, _prepare, "make a data set ready without a network")
    parser.add_argument("name", metavar="SET", choices=("cifar10",), help="cifar10")
    parser.add_argument("--archive", metavar="FILE", required=True, help="cifar-10-binary.tar.gz; it is only read")
    parser.add_argument("--unverified", action="store_true", help="take an archive with another than the official hash")
    add_data_dir(parser)


def _prepare(asked):
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise WorldError("sets are prepared by tensorflow-datasets: pip install keras-descent[tensorflow]")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    load_backend("tensorflow")
    print(f"Prepared {sets.prepare_cifar10(asked.archive, asked.data_dir, asked.unverified)}")
