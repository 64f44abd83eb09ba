import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from recipes.data import digits
from tests.recipes.data.prepared import prepare


def test_it_gives_what_training_gave(said, finished):
    status, out, err = said("evaluate", finished)
    assert (status, err) == (0, "")
    figures, table = out.split("\n\n")
    found = dict(line.split(maxsplit=1) for line in figures.splitlines())
    recorded = json.loads((finished / "result.json").read_text())
    assert found["test_accuracy"] == f"{100 * recorded['test_accuracy']:.1f} %"
    assert float(found["test_loss"]) == pytest.approx(recorded["test_loss"], rel=1e-5)
    assert found["test_images"] == "360"
    header, *rows = map(str.split, table.splitlines())
    assert header == ["class", "images", "recall", "precision"]
    assert [row[0] for row in rows] == list("0123456789")
    assert sum(int(row[1]) for row in rows) == 360


def test_json_is_the_result_and_nothing_else(said, finished):
    status, out, _ = said("evaluate", finished, "--json")
    assert status == 0
    found, recorded = json.loads(out), json.loads((finished / "result.json").read_text())
    assert found.keys() == {"test_accuracy", "test_loss", "test_images", "classes"}
    right = sum(each["images"] * each["recall"] for each in found["classes"].values())
    assert right / 360 == pytest.approx(recorded["test_accuracy"], rel=1e-5)
    assert found["test_accuracy"] == pytest.approx(recorded["test_accuracy"], rel=1e-5)


def test_inception_is_for_gans(said, finished):
    status, _, err = said("evaluate", finished, "--inception", "graph.pb")
    assert (status, err.count("\n")) == (2, 1)
    assert "--inception is for GANs" in err


def broken(name, content):
    def spoil(directory):
        (directory / name).write_bytes(content)

    return spoil


def without(name):
    def spoil(directory):
        (directory / name).unlink()

    return spoil


def other_images(directory):
    config = json.loads((directory / "config.json").read_text())
    config["trained_on"]["digest"] = "0"
    (directory / "config.json").write_text(json.dumps(config))


def changed(**values):
    def spoil(directory):
        config = json.loads((directory / "config.json").read_text())
        (directory / "config.json").write_text(json.dumps({**config, **values}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "status", "said_"),
    [
        (changed(schedule={"a": 1}), 1, "config.json is damaged, or of another version: --schedule is {'a': 1}"),
        (changed(epochs=True), 1, "config.json is damaged, or of another version: --epochs is yes"),
        (changed(epochs=-1), 1, "config.json is damaged, or of another version: --epochs must be a whole number"),
        (changed(trained_on={"origin": "x"}), 1, "it does not say where the images were"),
        (changed(trained_on={"classes": [1]}), 1, "the classes are no list of names"),
        (without("config.json"), 1, "holds no run"),
        (without("model.keras"), 1, "is not done; train it to its end first"),
        (broken("model.keras", b"no zip"), 1, "model.keras cannot be loaded"),
        (broken("config.json", b"{}"), 1, "config.json is damaged, or of another version"),
        (broken("config.json", b"{"), 1, "config.json is damaged"),
        (other_images, 1, "was trained on other images than those of digits now"),
    ],
)
def test_a_run_that_cannot_be_judged(said, finished, tmp_path, spoil, status, said_):
    shutil.copytree(finished, tmp_path / "run")
    spoil(tmp_path / "run")
    code, out, err = said("evaluate", tmp_path / "run")
    assert (code, out, err.count("\n")) == (status, "", 1)
    assert said_ in err


def test_a_run_that_was_raised_and_is_not_done_has_no_model_yet(said, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "epochs": 8}))
    code, _, err = said("evaluate", tmp_path / "run")
    assert (code, err.count("\n")) == (1, 1)
    assert "is not done" in err


@pytest.mark.slow
def test_images_are_looked_for_where_they_were(said, tmp_path, monkeypatch):
    prepare(tmp_path / "data", "greys", sizes={"train": 80, "test": 20})
    monkeypatch.chdir(tmp_path)
    options = ["--preset", "smoke", "--train-images", 40, "--data", "tfds:greys", "--data-dir", "data"]
    assert said("train", "cifar10_cnn", *options, "--run-dir", "run")[0] == 0
    monkeypatch.chdir("/")
    assert said("evaluate", tmp_path / "run")[0] == 0


def test_code_in_a_model_is_not_run(said, finished, tmp_path):
    """A model with a lambda layer needs unsafe mode, which is never turned on."""
    shutil.copytree(finished, tmp_path / "run")
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x)])
    model.save(tmp_path / "run" / "model.keras")
    code, _, err = said("evaluate", tmp_path / "run")
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot be loaded" in err


@pytest.fixture
def scans(tmp_path):
    """A folder of nine scanned digits of each of two classes."""
    x, y = digits((32, 32, 3)).test
    for label in (3, 7):
        (tmp_path / "scans" / str(label)).mkdir(parents=True)
        for row in np.flatnonzero(y == label)[:9]:
            Image.fromarray(x[row]).save(tmp_path / "scans" / str(label) / f"{row}.png")
    return tmp_path / "scans"


def test_images_of_another_set(said, finished, scans):
    """Nine of two classes each: what the model says of them, beside Keras's own prediction."""
    status, out, err = said("evaluate", finished, "--data", f"folder:{scans}", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    x, y = digits((32, 32, 3)).test
    rows = np.concatenate([np.flatnonzero(y == label)[:9] for label in (3, 7)])
    guesses = keras.saving.load_model(finished / "model.keras").predict(x[rows], verbose=0).argmax(axis=1)
    assert (found["data"], found["skipped_images"], found["test_images"]) == (f"folder:{scans}", 0, 18)
    assert found["test_accuracy"] == pytest.approx((guesses == y[rows]).mean())
    assert found["classes"]["3"]["recall"] == pytest.approx((guesses == 3)[y[rows] == 3].mean())
    assert found["classes"]["0"]["images"] == 0
    assert found["classes"]["0"]["recall"] is None


def test_of_a_folder_with_parts_the_test_part_is_taken(said, finished, scans):
    scans.rename(scans.parent / "test")
    shutil.copytree(scans.parent / "test" / "3", scans.parent / "train" / "3")
    parts = scans.parent / "parts"
    parts.mkdir()
    for part in ("train", "test"):
        (scans.parent / part).rename(parts / part)
    status, out, _ = said("evaluate", finished, "--data", f"folder:{parts}", "--json")
    assert (status, json.loads(out)["test_images"]) == (0, 18)


def test_broken_images_of_another_set(said, finished, scans):
    (scans / "3" / "broken.png").write_text("text")
    status, out, err = said("evaluate", finished, "--data", f"folder:{scans}")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "1 image of" in err
    status, out, err = said("evaluate", finished, "--data", f"folder:{scans}", "--skip-broken", "--json")
    found = json.loads(out)
    assert (status, found["test_images"], found["skipped_images"]) == (0, 18, 1)
    assert "Skipped 1 image" in err


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--data", "folder:{scans}/3"], 1, "has no image in a subfolder for its class"),
        (["--data", "folder:{scans}/nowhere"], 1, "there is no directory"),
        (["--data", "foldr:x"], 2, "no data set 'foldr:x'; did you mean folder:PATH"),
        (["--data", "digits", "--skip-broken"], 2, "--skip-broken is of --data folder:PATH"),
        (["--skip-broken"], 2, "--skip-broken is of --data folder:PATH"),
    ],
)
def test_sets_that_cannot_be(said, finished, scans, options, status, message):
    code, out, err = said("evaluate", finished, *(each.format(scans=scans) for each in options))
    assert (code, out, err.count("\n")) == (status, "", 1)
    assert message in err


def test_a_class_that_the_model_does_not_know(said, finished, scans):
    (scans / "7").rename(scans / "seven")
    code, out, err = said("evaluate", finished, "--data", f"folder:{scans}")
    assert (code, out) == (1, "")
    assert "has images of 'seven'; the model tells apart 0; 1; 2; 3" in err
