import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

from recipes.data import load
from recipes.settings.quantities import percent


def test_the_most_probable_classes_of_each_file(said, finished, tmp_path):
    x, _ = load("digits").test
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, x, strict=False):
        Image.fromarray(image).resize((64, 64), Image.Resampling.NEAREST).save(path)
    status, out, err = said("predict", finished, *paths)
    assert (status, err) == (0, "")
    model = keras.saving.load_model(finished / "model.keras")
    shrunk = np.stack([np.asarray(Image.open(p).resize((32, 32), Image.Resampling.BICUBIC)) for p in paths])
    shares = np.asarray(keras.ops.softmax(model(shrunk)))
    for line, path, share in zip(out.splitlines(), paths, shares, strict=True):
        best = np.argsort(-share)[:3]
        assert line == f"{path}: " + ", ".join(f"{i} {percent(share[i])}" for i in best)


def test_files_that_are_no_images(said, finished, tmp_path):
    (tmp_path / "a.png").write_text("text")
    status, out, err = said("predict", finished, tmp_path / "a.png")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert str(tmp_path / "a.png") in err
    status, _, err = said("predict", finished, tmp_path / "none.png")
    assert (status, err.count("\n")) == (1, 1)


def test_a_run_without_images(said, tmp_path):
    assert said("train", "linear_regression", "--preset", "smoke", "--run-dir", tmp_path / "run")[0] == 0
    status, _, err = said("predict", tmp_path / "run", "a.png")
    assert (status, err.count("\n")) == (2, 1)
    assert "predict: a run of linear_regression takes evaluate, export" in err
    assert said("evaluate", tmp_path / "run")[0] == 0


def test_a_folder_goes_on_after_a_file_that_is_none(said, finished, tmp_path):
    x, _ = load("digits").test
    (tmp_path / "deep").mkdir()
    for name, image in zip(("b.png", "deep/c.PNG"), x, strict=False):
        Image.fromarray(image).save(tmp_path / name)
    for name in ("a.png", "notes.txt", "deep/z.jpg"):
        (tmp_path / name).write_text("text")
    status, out, err = said("predict", finished, tmp_path, "--top", 1)
    assert status == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == [str(tmp_path / n) for n in ("b.png", "deep/c.PNG")]
    assert all(line.count("%") == 1 for line in out.splitlines())
    assert err.startswith(f"recipes: 2 of 4 images could not be read: {tmp_path / 'a.png'}: ")
    assert f"; {tmp_path / 'deep' / 'z.jpg'}: " in err
    assert err.count("\n") == 1


def test_json_and_csv_have_the_same_probabilities(said, finished, tmp_path):
    x, _ = load("digits").test
    for i in range(2):
        Image.fromarray(x[i]).save(tmp_path / f"{i}.png")
    status, out, _ = said("predict", finished, tmp_path, "--json", "--top", 2)
    assert status == 0
    found = json.loads(out)
    assert found["unread"] == {}
    status, out, _ = said("predict", finished, tmp_path, "--csv", "--top", 2)
    assert status == 0
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0]) == ["path", "class_1", "probability_1", "class_2", "probability_2"]
    for row, each in zip(rows, found["images"], strict=True):
        assert row["path"] == each["path"]
        for i, best in enumerate(each["best"], 1):
            assert row[f"class_{i}"] == best["class"]
            assert float(row[f"probability_{i}"]) == pytest.approx(best["probability"], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["{}", "--top", "0"], 2, "--top must be at least 1; it is 0"),
        (["{}"], 1, "there is no image under"),
        (["{}", "--json", "--csv"], 2, "not allowed with argument"),
    ],
)
def test_mistakes_are_told_in_one_line(said, finished, tmp_path, options, status, message):
    found, _, err = said("predict", finished, *(option.format(tmp_path) for option in options))
    assert (found, err.count("\n")) == (status, 1)
    assert message in err
