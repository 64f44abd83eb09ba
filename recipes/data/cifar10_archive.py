import contextlib
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import tarfile
import tempfile
import zlib

import numpy as np

from recipes.data.tfds_images import SOURCE, default_data_dir
from recipes.errors import WorldError, one_line
from recipes.machine.leaving import cleaned_up

SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
LABELS = "batches.meta.txt"
BATCHES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
ROWS, ROW = 10_000, 1 + 32 * 32 * 3  # a label, then red, green and blue planes
LARGEST_STREAM = 200 * 2**20  # bytes; the official archive unpacks to 185 million
LARGEST_LABELS = 1024  # bytes; the official file has 61


def prepare_cifar10(archive, data_dir=None, unverified=False):
    """Prepare CIFAR-10 for tensorflow-datasets from its binary archive, without a network.

    The archive is not changed. The prepared set is the one that `tfds.load("cifar10")` makes. If something fails,
    nothing is left behind.

    Args:
        archive: path of cifar-10-binary.tar.gz.
        data_dir: directory of prepared sets; by default that of tensorflow-datasets.
        unverified: bool. Accept a well-formed archive with another hash than the official one, and record its hash.

    Returns:
        The directory of the prepared set.

    Raises:
        WorldError: there is no such archive, it has another hash or is damaged, or the set is prepared already.
    """
    archive, root = pathlib.Path(archive), default_data_dir(data_dir)
    if not archive.is_file():
        raise WorldError(f"--archive: there is no file {archive}")
    digest = _sha256(archive)
    if digest != SHA256 and not unverified:
        raise WorldError(
            f"{archive} is not the official cifar-10-binary.tar.gz: its SHA-256 is {digest}, not {SHA256}; "
            "--unverified accepts it"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        unpacked = tempfile.mkdtemp(dir=root, prefix=".cifar10-")
        others = set(_unfinished(root))
        with cleaned_up(lambda: _remove([unpacked, *set(_unfinished(root)) - others], root)):
            _unpack(archive, pathlib.Path(unpacked, FOLDER))
            return _prepare(root, unpacked, {"archive": archive.name, "sha256": digest, "official": digest == SHA256})
    except OSError as error:
        raise WorldError(f"cifar10 cannot be prepared in {root}: {error.strerror or error}") from error


def _unfinished(root):
    """The directories in which tensorflow-datasets builds a set, before it moves the set to its place."""
    return (root / "cifar10").glob("incomplete.*")


def _remove(directories, root):
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty, or not there
        (root / "cifar10").rmdir()


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(archive, folder):
    """Write the seven files of the set, each checked. The archive cannot decide where or how much is written."""
    folder.mkdir()
    wanted = {f"{FOLDER}/{name}": name for name in (*BATCHES, LABELS)}
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=_Limited(stream), mode="r|") as tar:
            for member in tar:
                name = wanted.pop(member.name.removeprefix("./"), None)
                if name is not None:
                    (folder / name).write_bytes(_checked(archive, name, _content(tar, member)))
    except (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise WorldError(f"{archive} is damaged: {one_line(error)}") from error
    except OSError as error:
        if error.errno is not None:  # an error of the disk, not of the gzip stream
            raise
        raise WorldError(f"{archive} is damaged: {error}") from error
    if wanted:
        raise WorldError(f"{archive} has no {', '.join(sorted(wanted))}")


class _Limited:
    """A stream that raises an error if it unpacks to far more bytes than CIFAR-10 has, before memory is full."""

    def __init__(self, stream):
        self.stream, self.left = stream, LARGEST_STREAM

    def read(self, size):
        content = self.stream.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {LARGEST_STREAM} bytes")
        return content


def _content(tar, member):
    largest = LARGEST_LABELS if member.name.endswith(LABELS) else ROWS * ROW
    if not member.isfile() or member.size > largest:
        raise tarfile.ReadError(f"{member.name} is no file of at most {largest} bytes")
    return tar.extractfile(member).read()


def _checked(archive, name, content):
    if name == LABELS:
        classes = [line for line in content.decode(errors="replace").split("\n") if line]
        if len(set(classes)) != 10 or not all(each.isprintable() for each in classes):
            raise WorldError(f"{archive}: {name} does not name 10 classes")
        return content
    if len(content) != ROWS * ROW:
        raise WorldError(f"{archive}: {name} has {len(content)} bytes, not {ROWS * ROW}")
    labels = np.frombuffer(content, np.uint8)[::ROW]
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise WorldError(f"{archive}: {name}, image {row} has label {labels[row]}; labels lie in 0 to 9")
    return content


def _prepare(root, unpacked, source):
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = tfds.builder("cifar10", data_dir=root)
    place = pathlib.Path(builder.data_dir)
    if place.exists():
        raise WorldError(f"{place} is there already; nothing was changed")
    builder._split_generators = lambda downloads: _split_generators(builder, unpacked, source)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # tensorflow-datasets prints that it downloads, and it does not
            builder.download_and_prepare(
                download_dir=unpacked, download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except OSError:
        raise
    except Exception as error:  # a full disk comes as one of several errors of TensorFlow
        raise WorldError(f"cifar10 cannot be prepared in {root}: {one_line(error)}") from error
    return place


def _split_generators(builder, unpacked, source):
    """The splits as tensorflow-datasets makes them. The record of the archive is written beside them."""
    pathlib.Path(builder.data_dir, SOURCE).write_text(json.dumps(source, indent=2) + "\n")
    return type(builder)._split_generators(builder, _Unpacked(unpacked))


class _Unpacked:
    """Stands for the download manager of tensorflow-datasets, and returns the unpacked archive."""

    def __init__(self, directory):
        self.directory = directory

    def download_and_extract(self, url):
        return self.directory
