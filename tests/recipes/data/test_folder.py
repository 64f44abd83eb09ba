import sys

import numpy as np
import pytest
from PIL import Image

from recipes.data import folder, load
from recipes.data.folder import read_image
from recipes.errors import WorldError
from recipes.machine.regular_file import open_regular

SHAPE = (32, 32, 3)


def save(path, seed, size=(20, 20), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def pets(tmp_path):
    """Two classes of 10 images of mixed sizes, modes and formats."""
    sizes, modes, endings = [(20, 30), (40, 40), (33, 7)], ["RGB", "L", "P"], ["png", "PNG", "bmp", "tif"]
    for label in ("dog", "cat"):
        for i in range(10):
            path = tmp_path / label / f"{i}.{endings[i % 4]}"
            save(path, seed=(label == "cat") * 100 + i, size=sizes[i % 3], mode=modes[i % 3])
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_classes_in_the_order_of_their_names(pets):
    labelled = folder(pets, SHAPE).checked("pets", SHAPE)
    assert labelled.classes == ("cat", "dog")
    assert [x.shape for x, _ in (labelled.train, labelled.test)] == [(16, *SHAPE), (4, *SHAPE)]
    assert np.bincount(labelled.test[1]).tolist() == [2, 2]
    np.testing.assert_array_equal(labelled.train[0][-1], read_image(sorted((pets / "dog").iterdir())[-1], SHAPE))


def test_the_second_load_comes_from_the_cache_and_a_change_is_seen(pets):
    first = load(f"folder:{pets}")
    assert load(f"folder:{pets}").digest == first.digest
    save(pets / "cat" / "new.png", seed=999)
    assert len(load(f"folder:{pets}").train[1]) + 1 >= len(first.train[1])
    assert load(f"folder:{pets}").digest != first.digest


def test_a_new_image_moves_few_others_between_the_parts(pets):
    def parts():
        labelled = folder(pets, SHAPE)
        return [{x.tobytes() for x in part[0]} for part in (labelled.train, labelled.test)]

    (train, test) = parts()
    save(pets / "cat" / "new.png", seed=999)
    (train_after, test_after) = parts()
    assert len(train & test_after) + len(test & train_after) <= 1


def test_train_and_test_of_ones_own(tmp_path):
    for part, n in (("train", 5), ("test", 3)):
        for label in ("a", "b"):
            for i in range(n):
                save(tmp_path / part / label / f"{i}.png", seed=i)
    labelled = folder(tmp_path, SHAPE)
    assert (len(labelled.train[1]), len(labelled.test[1])) == (10, 6)
    (tmp_path / "test" / "b").rename(tmp_path / "test" / "c")
    with pytest.raises(WorldError, match="class 'b' is not in both of train and test"):
        folder(tmp_path, SHAPE)


def test_another_folder_beside_the_parts_is_no_class(tmp_path):
    for part in ("train", "test", "notes"):
        for label in ("a", "b"):
            for i in range(4):
                save(tmp_path / part / label / f"{i}.png", seed=i)
    with pytest.raises(WorldError, match="has the parts test, train, and notes beside them; move notes elsewhere"):
        folder(tmp_path, SHAPE)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "Validation", "TEST")])
def test_three_parts_of_ones_own(tmp_path, names):
    for part, n in zip(names, (5, 4, 3), strict=True):
        for label in ("a", "b"):
            for i in range(n):
                save(tmp_path / part / label / f"{i}.png", seed=(names.index(part), label == "b", i))
    images = load(f"folder:{tmp_path}", seed=3)
    assert [len(y) for _, y in (images.train, images.validation, images.test)] == [10, 8, 6]
    again = load(f"folder:{tmp_path}", seed=4)  # from the cache
    np.testing.assert_array_equal(images.validation[0], again.validation[0])


@pytest.mark.parametrize("names", [("test", "val"), ("train", "TRAIN", "test")])
def test_parts_that_make_no_sense(tmp_path, names):
    for part in names:
        save(tmp_path / part / "a" / "0.png", 0)
    with pytest.raises(WorldError, match="it needs train, and test or val"):
        folder(tmp_path, SHAPE)


def test_a_class_may_be_called_train(tmp_path):
    for label in ("bus", "train"):
        for i in range(3):
            save(tmp_path / label / f"{i}.png", seed=(label == "bus", i))
    assert folder(tmp_path, SHAPE).classes == ("bus", "train")


def test_copies_of_an_image_stay_together(tmp_path):
    for label in ("a", "b"):
        for i in range(10):
            for copy in range(2):
                save(tmp_path / label / f"{i}-{copy}.png", seed=(label == "b", i))
    for seed in range(3):
        images = load(f"folder:{tmp_path}", validation_split=0.3, seed=seed)
        seen = [{image.tobytes() for image in x} for x, _ in (images.train, images.validation, images.test)]
        assert not seen[0] & seen[1]
        assert not (seen[0] | seen[1]) & seen[2]


def test_copies_between_parts_of_ones_own_are_told(tmp_path, capsys):
    for part in ("train", "test"):
        for label in ("a", "b"):
            for i in range(3):
                save(tmp_path / part / label / f"{i}.png", seed=(part == "test" and i == 0, label == "b", i))
    load(f"folder:{tmp_path}")
    assert "4 of the 6 test images of" in capsys.readouterr().out


def test_what_is_linked_counts_and_what_is_hidden_does_not(pets, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "emu"
    for i in range(3):
        save(elsewhere / f"{i}.png", seed=200 + i)
    (pets / "emu").symlink_to(elsewhere)
    (pets / "emu" / "again").symlink_to(elsewhere)  # a circle
    (pets / "cat" / "nowhere.png").symlink_to(pets / "none.png")
    save(pets / "cat" / ".thumbnails" / "0.png", seed=300)
    first = load(f"folder:{pets}")
    assert first.origin["images"] == 23
    save(elsewhere / "0.png", seed=400)
    assert load(f"folder:{pets}").digest != first.digest


def test_rotated_photographs_are_turned_upright(tmp_path):
    image = Image.fromarray(np.arange(32 * 32, dtype=np.uint32).reshape(32, 32).astype(np.uint8))
    tags = Image.Exif()
    tags[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=tags)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (32, 32, 1))[..., 0], np.asarray(image)[::-1, ::-1])


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def text(path):
    path.write_text("#!/bin/sh\nrm -rf /\n")


def empty(path):
    path.write_bytes(b"")


def bomb(path):
    """A PNG of a few hundred bytes that says it has 60,000 × 60,000 pixels."""
    content = bytearray(path.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(content)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [truncate, text, empty, bomb, flip])
def test_a_damaged_or_hostile_file_is_named_in_one_line(pets, spoil):
    spoil(pets / "cat" / "0.png")
    with pytest.raises(WorldError) as error:
        load(f"folder:{pets}")
    assert str(pets / "cat" / "0.png") in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(pets.glob(".keras*"))
    assert not list(pets.glob(".part*"))


def test_too_few(tmp_path):
    with pytest.raises(WorldError, match="no directory"):
        load(f"folder:{tmp_path}/none")
    save(tmp_path / "a" / "0.png", 0)
    with pytest.raises(WorldError, match=r"1 subfolder\(s\)"):
        load(f"folder:{tmp_path}")
    save(tmp_path / "b" / "0.png", 0)
    with pytest.raises(WorldError, match=r"1 image\(s\); a class needs 3"):
        load(f"folder:{tmp_path}")


def test_all_files_that_are_broken_are_named_at_once(pets):
    paths = sorted(pets.rglob("*.png"))[:3] or sorted(each for each in pets.rglob("*.*") if each.is_file())[:3]
    for path in paths:
        path.write_text("text")
    with pytest.raises(WorldError, match=rf"^3 images of {pets} cannot be read: .*; remove or .*$") as error:
        folder(pets, (8, 8, 3))
    assert all(str(path) in str(error.value) for path in paths)
    assert str(error.value).endswith("; remove or replace them, or give --skip-broken")


def test_broken_files_are_left_out_where_that_is_wanted(pets, capsys):
    whole = load(f"folder:{pets}")
    broken = pets / "cat" / "4.png"
    broken.write_text("text")
    with pytest.raises(WorldError, match="1 image of"):
        load(f"folder:{pets}")
    capsys.readouterr()
    for _ in range(2):  # from the files each time, one of which may be readable again
        images = load(f"folder:{pets}", skip_broken=True)
        assert capsys.readouterr().out.startswith(f"Skipped 1 image of folder:{pets}: {broken}: ")
        assert sum(images.about()[part] for part in ("train", "validation", "test")) == 19
        assert images.digest != whole.digest
        assert len(images.origin["skipped"]) == 1
    with pytest.raises(WorldError, match="1 image of"):
        load(f"folder:{pets}")


def test_what_can_be_read_again_is_there_again(pets, monkeypatch):
    """A fault that passes, such as that of a network's disk, changes no file."""

    def broken(path):
        if path.name == "4.png":
            raise OSError(5, "Input/output error")
        return open_regular(path)

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["recipes.data.folder"], "open_regular", broken)
        found = load(f"folder:{pets}", skip_broken=True)
        assert found.origin["images"] == 18
        assert "Input/output error" in found.origin["skipped"][0]
    assert load(f"folder:{pets}", skip_broken=True).origin["images"] == 20


def test_a_class_of_which_no_image_can_be_read_is_an_error(pets):
    for path in (pets / "cat").iterdir():
        path.write_text(path.name)
    with pytest.raises(WorldError, match="no training image of class 'cat' can be read"):
        folder(pets, (8, 8, 3), skip_broken=True)
