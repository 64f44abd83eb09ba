import keras
import numpy as np
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
