import importlib.util
import json
import os
import pathlib
import urllib.parse

import numpy as np

from recipes.data.cache import cached
from recipes.data.labelled import Labelled
from recipes.data.to_shape import all_to_shape
from recipes.errors import CommandError, WorldError, one_line
from recipes.machine.network import any_answers
from recipes.machine.regular_file import open_regular
from recipes.settings.nearest import unknown

SOURCE = "keras_descent_source.json"  # beside a prepared set: the archive it was made from, and its hash


def tfds_images(name, shape, data_dir=None, download=False):
    """A labelled image set of tensorflow-datasets that has been prepared on this machine.

    The split `train` is the training part. The split `test`, or `validation` if there is no `test`, is the test part.

    Args:
        name: str as tensorflow-datasets has it: "cifar10", "imagenette/160px", "fashion_mnist:3.0.1".
        shape: `(height, width, channels)` that images are brought to by `to_shape`.
        data_dir: where sets are prepared; by default that of tensorflow-datasets.
        download: bool. Download and prepare the set if it is not there.

    Returns:
        `Labelled`. The first call writes a cache beside the data, which later calls read.

    Raises:
        WorldError: the set is not there, has no images or no labels, or is damaged.
    """
    if name.startswith(("/", "~")) or ".." in name:
        raise CommandError(f"--data tfds:{name}: write the name of a set; its place is --data-dir")
    root = default_data_dir(data_dir)
    place = prepared_directory(root, name)
    if place is None and download:
        _need_tensorflow_datasets("download")
        place = _download(root, name)
    if place is None:
        raise WorldError(_missing(root, name))
    images = cached(place, name, shape, lambda: _read(place, name, shape))
    return images._replace(origin={**images.origin, "data_dir": str(root.resolve())})


def default_data_dir(data_dir=None):
    """Where tensorflow-datasets keeps its sets, unless another place is given."""
    return pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_directory(root, name):
    """The directory of a prepared set, of its highest version if no version is named; None if it is not prepared."""
    base, _, version = name.partition(":")
    versions = [version] if version else _versions(root / base)
    found = [root / base / each for each in versions if (root / base / each / "dataset_info.json").is_file()]
    return found[-1] if found else None


def _versions(directory):
    try:
        names = [entry.name for entry in os.scandir(directory)]
    except OSError:
        return []
    numbers = {tuple(map(int, name.split("."))): name for name in names if name.replace(".", "").isdigit()}
    return [numbers[key] for key in sorted(numbers)]


def _missing(root, name):
    looked = f"{name} is not prepared in {root} (no {name.replace(':', '/')}/…/dataset_info.json)"
    if name == "cifar10":
        return (
            f"{looked}; with cifar-10-binary.tar.gz: python -m recipes prepare cifar10 --archive "
            "cifar-10-binary.tar.gz; with a network: --download; elsewhere: --data-dir DIR"
        )
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return f"{looked}; elsewhere: --data-dir DIR"
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    base = name.partition(":")[0].partition("/")[0]
    if base not in known:
        return f"{looked}, and tensorflow-datasets has {unknown('set', base, known)}"
    return f"{looked}; with a network: --download; elsewhere: --data-dir DIR"


def _download(root, name):
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=root)
        _check_network(builder)
        print(f"Downloading {builder.info.full_name} ({builder.info.download_size}) to {builder.data_dir}")
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except WorldError:
        raise
    except Exception as error:  # the code of the set, the network and the disk raise many kinds
        raise WorldError(f"{name} could not be downloaded: {one_line(error)}") from error
    return prepared_directory(root, name)


def _check_network(builder):
    """Raise a WorldError if no host of a set can be reached, which tensorflow-datasets would try for minutes."""
    hosts = {urllib.parse.urlsplit(url).hostname for url in getattr(builder, "url_infos", None) or {}} - {None}
    if hosts and not any_answers(sorted(hosts)):
        raise WorldError(
            f"{builder.name} could not be downloaded: {' and '.join(sorted(hosts))} cannot be reached; with a network, "
            "the same command goes on"
        )


def _need_tensorflow_datasets(what):
    if importlib.util.find_spec("tensorflow_datasets") is None or importlib.util.find_spec("tensorflow") is None:
        raise WorldError(
            f"tensorflow-datasets and TensorFlow {what} sets, once for all backends: pip install "
            "keras-descent[tensorflow]"
        )


def _read(place, name, shape):
    _need_tensorflow_datasets("read")
    import tensorflow_datasets as tfds

    try:
        _check_files(place)
        _check_features(place)
        builder = tfds.builder_from_directory(place)
        image, label = _keys(builder.info, name)
        classes = tuple(builder.info.features[label].names)
        train, test = (_read_part(builder, part, image, label, shape) for part in _parts(builder.info, name))
    except WorldError:
        raise
    except Exception as error:  # protobuf and decoders raise many kinds for damaged files
        raise WorldError(f"{name} in {place} cannot be read: {one_line(error)}") from error
    return Labelled(classes, train, test, {"tfds": builder.info.full_name, **_source(place)})


def _check_files(place):
    """Raise an OSError if a file is a pipe or a device, which TensorFlow would read for ever."""
    for path in place.iterdir():
        if not path.is_dir():
            open_regular(path).close()


def _check_features(place):
    """Raise a WorldError if features.json names a module of others: tensorflow-datasets would import it."""
    for name in _class_names(json.loads((place / "features.json").read_text())):
        if not str(name).startswith("tensorflow_datasets."):
            raise WorldError(f"{place / 'features.json'} asks for code that is not of tensorflow-datasets: {name}")


def _class_names(content):
    """Every class name in the tree of a features.json, in its present and its former format."""
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key in ("pythonClassName", "type") and isinstance(value, str):
            yield value
        else:
            yield from _class_names(value)


def _keys(info, name):
    """Keys of the image and of the label: the supervised pair of the set, or the only image and the only label."""
    import tensorflow_datasets as tfds

    def of_type(kind):
        return [key for key, feature in info.features.items() if isinstance(feature, kind)]

    images, labels = of_type(tfds.features.Image), of_type(tfds.features.ClassLabel)
    pair = info.supervised_keys
    if pair and pair[0] in images and pair[1] in labels:
        return pair[0], pair[1]
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    raise WorldError(f"{name} is no image-classification set: it has image features {images} and labels {labels}")


def _parts(info, name):
    test = next((part for part in ("test", "validation") if part in info.splits), None)
    if "train" not in info.splits or test is None:
        raise WorldError(f"{name} has the parts {', '.join(info.splits)}; a recipe needs train, and test or validation")
    return "train", test


def _read_part(builder, part, image, label, shape):
    import tensorflow_datasets as tfds

    one_after_another = tfds.ReadConfig(interleave_cycle_length=1)
    samples = builder.as_dataset(split=part, shuffle_files=False, read_config=one_after_another)
    samples = samples.map(lambda sample: (sample[image], sample[label]))
    same_shape = None not in builder.info.features[image].shape
    images, labels = [], []
    for pixels, classes in samples.batch(500 if same_shape else 1).as_numpy_iterator():
        images.append(all_to_shape(pixels, shape))
        labels.append(classes)
    expected, found = builder.info.splits[part].num_examples, sum(map(len, labels))
    if found != expected:
        raise WorldError(f"{builder.data_dir}: the part {part} has {found} images of {expected}")
    return np.concatenate(images), np.concatenate(labels).astype(np.int32)


def _source(place):
    path = place / SOURCE
    return json.loads(path.read_text()) if path.exists() else {}
