import os

import pytest

from recipes.errors import CommandError
from recipes.settings import images
from recipes.settings.images import ALL, check_data_name


@pytest.mark.parametrize("name", ["digits", "cifar10", "tfds:mnist", "tfds:mnist:3.0.1"])
def test_names_are_kept_as_they_are(name):
    assert images("digits").checked("--data", name) == name


def test_the_path_of_a_folder_is_kept_in_full(monkeypatch, tmp_path):
    """The command may be given again from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of_one")
    read = images("digits").read
    assert read("folder:pets") == f"folder:{os.path.realpath(tmp_path)}/pets"
    assert read("folder:~/pets") == "folder:/home/of_one/pets"
    assert read(read("folder:pets/../cats")) == read("folder:cats")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cifar", "--data cifar: no data set 'cifar'; did you mean cifar10"),
        ("mnist", "there are: cifar10, digits, folder:PATH, tfds:NAME"),
        ("", "no data set ''"),
        ("tfds:", "write a name behind the colon"),
        ("folder:", "write a path behind the colon"),
        (3, "a text"),
        (True, "a text"),
        (None, "--data must be digits, cifar10, tfds:NAME, folder:PATH"),
    ],
)
def test_what_no_images_can_be_meant_by(name, said):
    with pytest.raises(CommandError) as caught:
        images("digits").checked("--data", name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_names_in_the_list_are_those_that_are_taken():
    for name in ALL:
        check_data_name(name)
