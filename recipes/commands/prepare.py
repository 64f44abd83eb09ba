import importlib.util
import os

from recipes import data as sets
from recipes.commands.parser import add_command, add_data_dir
from recipes.errors import CommandError, WorldError
from recipes.machine.quiet import load_backend
from recipes.settings.images import absolute
from recipes.settings.nearest import unknown
from recipes.settings.quantities import counted

SHAPE = (32, 32, 3)  # that images of a folder are read at, to see whether they can be read
KNOWN = ("cifar10", "folder:PATH")


def add(commands, name):
    """Add the parser of `prepare`."""
    parser = add_command(commands, name, _prepare, "make a data set ready without a network, or look through a folder")
    parser.add_argument("name", metavar="SET", help="cifar10; or folder:PATH, of which every image is read")
    parser.add_argument("--archive", metavar="FILE", help="cifar-10-binary.tar.gz, for cifar10; it is only read")
    parser.add_argument("--unverified", action="store_true", help="take an archive with another than the official hash")
    add_data_dir(parser)


def _prepare(asked):
    kind, _, path = absolute(asked.name).partition(":")
    if kind == "folder" and path:
        given = {"--archive": asked.archive, "--unverified": asked.unverified, "--data-dir": asked.data_dir}
        if needless := [option for option, value in given.items() if value]:
            raise CommandError(f"{needless[0]} is of cifar10; a folder is only looked through")
        _look_through(path)
        return
    if asked.name != "cifar10":
        raise CommandError(unknown("set", asked.name, KNOWN))
    if asked.archive is None:
        raise CommandError("give --archive cifar-10-binary.tar.gz, which cifar10 is prepared from")
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise WorldError("sets are prepared by tensorflow-datasets: pip install keras-descent[tensorflow]")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    load_backend("tensorflow")
    print(f"Prepared {sets.prepare_cifar10(asked.archive, asked.data_dir, asked.unverified)}")


def _look_through(path):
    """Print how many images a folder has of each class, and every file of it that cannot be read."""
    import numpy as np

    if not os.path.isdir(path):
        raise WorldError(f"there is no directory {path}")
    labelled, faults = sets.folder_with_faults(path, SHAPE)
    parts = labelled.parts()
    counts = [np.bincount(y, minlength=len(labelled.classes)) for _, y in parts.values()]
    longest = max(map(len, labelled.classes))
    print(f"{'':{longest}} {' '.join(f'{part:>10}' for part in parts)}")
    for name, *numbers in zip(labelled.classes, *counts, strict=True):
        print(f"{name:{longest}} {' '.join(f'{number:10,}' for number in numbers)}")
    for fault in faults:
        print(fault)
    if faults:
        raise WorldError(f"{counted(len(faults), 'image')} of {path} cannot be read; see above")
    print(f"All {counted(labelled.origin['images'], 'image')} of {path} can be read.")
