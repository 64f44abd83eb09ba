"""Readers refuse what is no regular file at once: a pipe never ends, and neither does /dev/zero."""

import os
import signal

import pytest
from PIL import Image

from callbacks.arrays_file import read_arrays
from recipes.data.folder import read_image
from recipes.errors import WorldError
from recipes.run import load_model, read_json, rows_of

READERS = {
    "a.json": read_json,
    "a.csv": rows_of,
    "a.npz": read_arrays,
    "a.keras": load_model,
    "a.png": lambda path: read_image(path, (8, 8, 3)),
}


def _waits(number, frame):
    raise TimeoutError("it waits")


@pytest.fixture(autouse=True)
def soon():
    """A reader that waits fails the test."""
    before = signal.signal(signal.SIGALRM, _waits)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def zeros(path):
    path.symlink_to("/dev/zero")


def pipe_by_a_link(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


@pytest.mark.parametrize("make", [os.mkfifo, zeros, pipe_by_a_link])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_regular_file_is_one_line(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises((WorldError, OSError), match="not a regular file") as caught:
        READERS[name](tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_a_directory_is_one_line(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises((WorldError, OSError), match=r"Is a directory|not a regular file"):
        READERS[name](tmp_path / name)


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "there.json").write_text('{"a": 1}')
    Image.new("RGB", (8, 8)).save(tmp_path / "there.png")
    for name in ("a.json", "a.png"):
        (tmp_path / name).symlink_to(name.replace("a", "there"))
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert read_image(tmp_path / "a.png", (8, 8, 3)).shape == (8, 8, 3)


def test_what_is_not_there(tmp_path):
    assert read_json(tmp_path / "none.json") is None
    assert rows_of(tmp_path / "none.csv") == []
