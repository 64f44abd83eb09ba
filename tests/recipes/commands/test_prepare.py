"""`prepare` of a folder: every image is looked at, and nothing is written."""

import pytest
from PIL import Image


@pytest.fixture
def shapes(tmp_path):
    for name, count in (("circle", 4), ("square", 5)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (9, 9), (number, count, 0)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_a_folder_without_faults(said, shapes):
    before = sorted(shapes.rglob("*"))
    status, out, err = said("prepare", f"folder:{shapes}")
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()[:3]] == [
        ["training", "test"],
        ["circle", "3", "1"],
        ["square", "4", "1"],
    ]
    assert out.endswith(f"All 9 images of {shapes} can be read.\n")
    assert sorted(shapes.rglob("*")) == before


def test_every_broken_image_has_a_line(said, shapes):
    broken = [shapes / "circle" / "0.png", *(shapes / "square" / f"new{number}.png" for number in range(12))]
    for path in broken:
        path.write_text("text")
    status, out, err = said("prepare", f"folder:{shapes}")
    assert (status, err.count("\n")) == (1, 1)
    assert "13 images of" in err
    assert all(f"\n{path}: " in out for path in broken)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["folder:/nowhere"], 1, "there is no directory /nowhere"),
        (["folder"], 2, "no set 'folder'; did you mean folder:PATH?"),
        (["folder:/nowhere", "--archive", "x"], 2, "--archive is of cifar10; a folder is only looked through"),
        (["cifar10"], 2, "give --archive cifar-10-binary.tar.gz"),
    ],
)
def test_what_cannot_be_prepared(said, words, status, message):
    code, out, err = said("prepare", *words)
    assert (code, out, err.count("\n")) == (status, "", 1)
    assert message in err
