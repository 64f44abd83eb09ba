import pathlib
import re

import keras
import pytest
from PIL import Image

from recipes import run as runs
from recipes.cifar10_cnn import Cifar10CNN
from recipes.data import digits
from recipes.errors import WorldError
from recipes.linear_regression import LinearRegression
from recipes.report.model_card import model_card, write_model_card

SAMPLES = {"name": "a line with noise", "samples": 100}
IMAGES = {"name": "digits", "train": 1437, "test": 360}
FITTED = {"slope": 2.0, "intercept": 1.0, "exact_slope": 2.0, "exact_intercept": 1.0, "distance": 0.0}
JUDGED = {"test_accuracy": 0.9, "test_loss": 0.3, "test_images": 360}
KINDS = {"samples": (LinearRegression(), SAMPLES, FITTED), "test images": (Cifar10CNN(), IMAGES, JUDGED)}


def card_of(part, **result):
    recipe, data, judged = KINDS[part]
    config = {"recipe": recipe.name(), "epochs": recipe.epochs, "trained_on": data}
    result = {"outcome": "finished", "updates": 3, **judged, **result, "of": {"epochs": recipe.epochs}}
    return model_card(runs.Directory(pathlib.Path("nowhere"), "run", recipe, config, result, []))


@pytest.mark.parametrize("part", KINDS)
def test_its_limits_speak_of_what_the_run_has(part):
    limits = " ".join(card_of(part).partition("## Limits")[2].split())
    assert f"those of the {part} named above" in limits
    assert ("image" in limits) == ("image" in part)


@pytest.mark.parametrize("part", KINDS)
def test_that_of_a_run_that_diverged_says_so_and_loads_no_model(part):
    card = card_of(part, outcome="diverged", reason="the loss is not finite")
    assert "\n\nTraining diverged within 3 updates: the loss is not finite.\n\n" in card
    assert "There is no model" in card
    assert "load_model" not in card


def test_a_run_that_is_not_done_has_none(finished, tmp_path):
    (tmp_path / "config.json").write_bytes((finished / "config.json").read_bytes())
    with pytest.raises(WorldError, match="holds no run that is done"):
        write_model_card(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_its_lines_load_the_model_and_use_it(finished, tmp_path, monkeypatch, capsys):
    card = write_model_card(finished).read_text()
    assert "- Input: images (n, 32, 32, 3), red, green and blue, numbers from 0 to 255; " in card
    assert (
        "- Output: (n, 10), logits, of which softmax makes probabilities, of the labels in this order: 0, 1, " in card
    )
    assert "As it was exported" not in card
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").symlink_to(finished / "model.keras")
    image = digits((32, 32, 3)).test[0][5]
    Image.fromarray(image).save("photo.png")
    exec(compile(re.search("```python\n(.*?)```", card, re.DOTALL)[1], "card", "exec"), {})
    model = keras.saving.load_model("model.keras")
    assert capsys.readouterr().out.split()[-1] == str(model.predict(image[None], verbose=0).argmax())


def test_probabilities_are_called_so():
    signature = Cifar10CNN(loss="mse").signature(["a", "b"])
    assert signature.output == "(n, 2), probabilities, of the labels in this order: a, b"
