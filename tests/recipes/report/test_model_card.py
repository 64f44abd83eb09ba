import pytest

from recipes.report.model_card import model_card

SAMPLES = {"name": "a line with noise", "samples": 100}
IMAGES = {"name": "digits", "train": 1437, "test": 360}


@pytest.mark.parametrize(("data", "part"), [(SAMPLES, "samples"), (IMAGES, "test images")])
def test_its_limits_speak_of_what_the_run_has(data, part):
    card = model_card({"recipe": "a recipe", "trained_on": data}, {}, {}, "A sentence.", "again", ["a_module"])
    limits = " ".join(card.partition("## Limits")[2].split())
    assert f"those of the {part} named above" in limits
    assert ("image" in limits) == ("image" in part)
