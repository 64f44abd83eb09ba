import json
import os
import pickle
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from recipes.data import load, tfds_images
from recipes.data.tfds_images import prepared_directory
from recipes.errors import WorldError
from tests.recipes.data.prepared import prepare

CACHE = ".keras-descent-32x32x3.npz"


def test_a_grey_set_is_brought_to_the_shape(tmp_path):
    parts = prepare(tmp_path)
    labelled = tfds_images("little", (28, 28, 3), tmp_path)
    assert labelled.classes == ("0", "1", "2", "3")
    for part in ("train", "test"):
        x, y = getattr(labelled, part)
        np.testing.assert_array_equal(x, np.repeat(parts[part][0], 3, axis=3))
        np.testing.assert_array_equal(y, parts[part][1])
    images = load("tfds:little", data_dir=tmp_path)
    assert images.train[0].shape == (36, 32, 32, 3)


def test_a_set_of_mixed_sizes(tmp_path):
    features = {
        "photo": tfds.features.Image(shape=(None, None, 3)),
        "kind": tfds.features.ClassLabel(names=["a", "b", "c", "d"]),
    }
    prepare(tmp_path, shape=(None, None, 3), features=features)
    labelled = tfds_images("little:1.0.0", (32, 32, 3), tmp_path)
    assert labelled.train[0].shape == (40, 32, 32, 3)
    assert labelled.classes == ("a", "b", "c", "d")


def test_validation_stands_in_for_a_test_part(tmp_path):
    prepare(tmp_path, sizes={"train": 8, "validation": 4})
    assert len(tfds_images("little", (32, 32, 3), tmp_path).test[1]) == 4


def test_the_highest_version_is_taken_unless_one_is_named(tmp_path):
    for version in ("9.1.0", "10.0.0", "2.0.0", "incomplete.ABC_11.0.0"):
        (tmp_path / "little" / version).mkdir(parents=True)
        (tmp_path / "little" / version / "dataset_info.json").write_text("{}")
    (tmp_path / "little" / "11.0.0").mkdir()  # nothing in it
    assert prepared_directory(tmp_path, "little").name == "10.0.0"
    assert prepared_directory(tmp_path, "little:9.1.0").name == "9.1.0"
    assert prepared_directory(tmp_path, "little:3.0.0") is None
    assert prepared_directory(tmp_path, "large") is None


@pytest.fixture
def place(tmp_path):
    prepare(tmp_path)
    return tmp_path / "little" / "1.0.0"


def read(place):
    return tfds_images("little", (32, 32, 3), place.parents[1])


def shard(place, part="train"):
    return next(place.glob(f"*{part}.tfrecord*"))


def test_the_second_time_the_cache_is_read_and_nothing_else(place, monkeypatch):
    first = read(place)
    assert (place / CACHE).exists()
    monkeypatch.setattr(tfds, "builder_from_directory", lambda *_: pytest.fail("the set was read again"))
    again = read(place)
    for part in ("train", "test"):
        for mine, theirs in zip(getattr(first, part), getattr(again, part), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert again == again._replace(digest=first.digest, classes=first.classes, origin=first.origin)


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "labels", "another source"])
def test_a_cache_that_cannot_be_trusted_is_made_anew(place, how):
    first = read(place)
    path = place / CACHE
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 3] ^= 1
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "labels":
        np.savez(path, about=np.array(json.dumps({"format": 1})), y_train=np.array([{}], dtype=object))
    else:
        shard(place).touch()
    assert read(place).digest == first.digest
    assert path.stat().st_size == len(content)


def test_a_directory_that_cannot_be_written_has_no_cache(place, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    read(place)
    assert "There is no room for a cache" in capsys.readouterr().out
    assert not list(place.glob(".*"))


def truncated(place):
    shard(place).write_bytes(shard(place).read_bytes()[:-100])


def flipped(place):
    content = bytearray(shard(place).read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard(place).write_bytes(content)


def shard_missing(place):
    shard(place).unlink()


def shorter(place):
    """A shard that is whole, but not the one that belongs there."""
    shard(place).write_bytes(shard(place, "test").read_bytes())


def metadata_broken(place):
    (place / "dataset_info.json").write_text("{")


def features_missing(place):
    (place / "features.json").unlink()


def pipe(place):
    path = shard(place)
    path.unlink()
    os.mkfifo(path)


def foreign_code(place):
    path = place / "features.json"
    path.write_text(
        re.sub(r"tensorflow_datasets\.core\.features\.image_feature\.Image", "evil.module.Image", path.read_text())
    )


@pytest.mark.parametrize(
    "spoil", [truncated, flipped, shard_missing, shorter, metadata_broken, features_missing, foreign_code, pipe]
)
def test_a_damaged_set_is_one_line_and_leaves_nothing(place, spoil):
    spoil(place)
    with pytest.raises(WorldError) as error:
        read(place)
    assert "\n" not in str(error.value)
    assert "little" in str(error.value)
    assert not list(place.glob(".*"))


def test_labels_out_of_range(tmp_path):
    prepare(tmp_path, labels=np.array([0, 1, 2, 3, -1, 0, 1, 2] * 5))
    with pytest.raises(WorldError, match=r"label -1 of image 4 of the training part; labels lie in 0 to 3"):
        tfds_images("little", (32, 32, 3), tmp_path)


def test_sets_that_are_not_for_classifying_images(tmp_path):
    features = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.Scalar(np.int64)}
    prepare(tmp_path, "numbers", features=features)
    with pytest.raises(WorldError, match="no image-classification set"):
        tfds_images("numbers", (32, 32, 3), tmp_path)
    prepare(tmp_path, "half", sizes={"train": 8})
    with pytest.raises(WorldError, match="has the parts train; a recipe needs train, and test or validation"):
        tfds_images("half", (32, 32, 3), tmp_path)


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    class Builder:
        info = type("Info", (), {"full_name": "little/1.0.0", "download_size": "3 MiB"})
        data_dir = "there"

        def download_and_prepare(self, **_):
            raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr(tfds, "builder", lambda *_, **__: Builder())
    with pytest.raises(WorldError, match=r"little could not be downloaded: Name or service not known$"):
        tfds_images("little", (32, 32, 3), tmp_path, download=True)
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: pytest.fail("a download nobody asked for"))
    with pytest.raises(WorldError, match="is not prepared in"):
        tfds_images("little", (32, 32, 3), tmp_path)


def test_names_that_tensorflow_datasets_does_not_have(tmp_path):
    with pytest.raises(WorldError, match="did you mean fashion_mnist"):
        tfds_images("fashion_mist", (32, 32, 3), tmp_path)


def test_no_pickle_is_read(place, monkeypatch):
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("a pickle was read"))
    read(place)
    read(place)
    load("digits")
