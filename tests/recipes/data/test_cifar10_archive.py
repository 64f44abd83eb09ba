import hashlib
import io
import json
import pathlib
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from recipes.data import cifar10_archive, load
from recipes.data.cifar10_archive import BATCHES, FOLDER, prepare_cifar10
from recipes.errors import WorldError

NAMES = b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
ROWS = 20  # a batch, in these tests


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(cifar10_archive, "ROWS", ROWS)


def batches():
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 256, (len(BATCHES), ROWS, 3073), np.uint8)
    rows[..., 0] = np.arange(ROWS) % 10
    return dict(zip(BATCHES, rows, strict=True))


def archive(path, change=lambda files: None, link=None):
    """An archive in the official layout with 20 images a batch."""
    files = {f"{FOLDER}/{name}": rows.tobytes() for name, rows in batches().items()}
    files[f"{FOLDER}/batches.meta.txt"] = NAMES
    change(files)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if link:
            tar.addfile(link)
    return path


def test_what_tensorflow_datasets_makes_of_it(tmp_path):
    path = archive(tmp_path / "cifar-10-binary.tar.gz")
    before = path.read_bytes()
    place = prepare_cifar10(path, tmp_path / "data", unverified=True)
    assert path.read_bytes() == before
    loaded = tfds.load("cifar10", split="train", data_dir=tmp_path / "data", download=False)
    given = np.concatenate([batches()[name] for name in BATCHES[:-1]])
    rows = {row["id"].decode(): row for row in loaded.as_numpy_iterator()}
    assert len(rows) == 5 * ROWS
    for i, row in enumerate(given):
        sample = rows[f"train_{i:05d}"]
        assert sample["label"] == row[0]
        np.testing.assert_array_equal(sample["image"], row[1:].reshape(3, 32, 32).transpose(1, 2, 0))
    images = load("cifar10", data_dir=tmp_path / "data")
    assert images.classes == tuple(NAMES.decode().split())
    assert images.origin["sha256"] == hashlib.sha256(before).hexdigest()
    assert images.origin["official"] is False
    assert json.loads((place / "keras_descent_source.json").read_text())["archive"] == path.name
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["cifar10"]


def test_the_official_hash(tmp_path, monkeypatch):
    path = archive(tmp_path / "cifar-10-binary.tar.gz")
    with pytest.raises(WorldError) as error:
        prepare_cifar10(path, tmp_path / "data")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in str(error.value)
    assert "--unverified" in str(error.value)
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(cifar10_archive, "SHA256", digest)
    prepare_cifar10(path, tmp_path / "data")
    assert load("cifar10", data_dir=tmp_path / "data").origin["official"] is True


def test_the_hash_is_the_one_tensorflow_datasets_checks():
    registered = pathlib.Path(tfds.__file__).parent / "image_classification" / "url_checksums" / "cifar10.txt"
    places = [
        registered,
        *pathlib.Path(tfds.__file__).parent.rglob("*cifar10*checksums*"),
        *pathlib.Path(tfds.__file__).parent.rglob("url_checksums/cifar10.txt"),
    ]
    text = next(place.read_text() for place in places if place.exists())
    assert cifar10_archive.SHA256 in text


def drop(files):
    del files[f"{FOLDER}/data_batch_3.bin"]


def shorten(files):
    files[f"{FOLDER}/data_batch_3.bin"] = files[f"{FOLDER}/data_batch_3.bin"][:-1]


def label_out_of_range(files):
    rows = batches()["data_batch_3.bin"]
    rows[7, 0] = 10
    files[f"{FOLDER}/data_batch_3.bin"] = rows.tobytes()


def too_large(files):
    files[f"{FOLDER}/data_batch_3.bin"] += b"0"


def few_classes(files):
    files[f"{FOLDER}/batches.meta.txt"] = b"cat\ndog\n"


def elsewhere(files):
    files["../../data_batch_3.bin"] = files.pop(f"{FOLDER}/data_batch_3.bin")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop, "has no cifar-10-batches-bin/data_batch_3.bin"),
        (shorten, "data_batch_3.bin has 61459 bytes, not 61460"),
        (label_out_of_range, "data_batch_3.bin, image 7 has label 10"),
        (too_large, "damaged"),
        (few_classes, "does not name 10 classes"),
        (elsewhere, "has no cifar-10-batches-bin/data_batch_3.bin"),
    ],
)
def test_an_archive_that_is_not_well_formed(tmp_path, change, said):
    path = archive(tmp_path / "a.tar.gz", change)
    refused(path, said)


def refused(path, said):
    data = path.parent / "data"
    with pytest.raises(WorldError) as error:
        prepare_cifar10(path, data, unverified=True)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not [p for p in data.rglob("*") if p.is_file()]
    assert sorted(p.name for p in path.parent.iterdir()) == sorted([path.name, "data"])


def test_a_link_in_place_of_a_file(tmp_path):
    link = tarfile.TarInfo(f"{FOLDER}/data_batch_3.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    refused(archive(tmp_path / "a.tar.gz", drop, link), "damaged")


@pytest.mark.parametrize("how", ["truncated", "flipped", "text", "empty"])
def test_a_damaged_archive(tmp_path, how):
    path = archive(tmp_path / "a.tar.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    spoiled = {"truncated": content[: len(content) // 2], "flipped": content, "text": b"not an archive", "empty": b""}
    path.write_bytes(spoiled[how])
    refused(path, str(path))


def with_header(tmp_path, header, change=drop):
    member = tarfile.TarInfo("note")
    member.pax_headers = header
    return archive(tmp_path / "a.tar.gz", change, member)


def test_headers_that_mean_harm(tmp_path):
    refused(with_header(tmp_path, {"GNU.sparse.map": "abc"}), "is damaged")


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10_archive, "LARGEST_STREAM", 100_000)
    refused(archive(tmp_path / "a.tar.gz"), "it unpacks to more than 100000 bytes")


def test_what_is_there_is_left_alone(tmp_path):
    path = archive(tmp_path / "a.tar.gz")
    place = prepare_cifar10(path, tmp_path / "data", unverified=True)
    before = {p: p.stat().st_mtime_ns for p in place.iterdir()}
    with pytest.raises(WorldError, match="is there already"):
        prepare_cifar10(path, tmp_path / "data", unverified=True)
    assert {p: p.stat().st_mtime_ns for p in place.iterdir()} == before


def test_no_archive(tmp_path):
    with pytest.raises(WorldError, match="there is no file"):
        prepare_cifar10(tmp_path / "none.tar.gz", tmp_path)


@pytest.mark.parametrize("write", ["write_bytes", "write_text"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, write):
    path = archive(tmp_path / "a.tar.gz")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, write, full)
    refused(path, "No space left on device")
