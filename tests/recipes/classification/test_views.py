import keras
import numpy as np
import pytest

from recipes.classification import each_view, mean_of_views
from recipes.classification.views import views
from recipes.settings.images import VIEWS


def images():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 2)).astype("uint8")


def linear():
    """A model whose outputs tell every pixel apart."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Flatten(), keras.layers.Dense(4)])


def judged(model, x, name, batch_size):
    return mean_of_views(each_view(model, x, name, batch_size))


def by_hand(model, name):
    """The table of the docstring, pixel by pixel."""

    def moved(x, by):
        places = [abs(i + by) if i + by < 8 else 14 - i - by for i in range(8)]  # by reflection
        return x[:, places][:, :, places]

    x = images()
    weights = {"none": [(0, 1.0, 0.0)], "flip": [(0, 0.5, 0.5)]}
    weights["flip_shift"] = [(0, 0.25, 0.25), (-1, 0.125, 0.125), (1, 0.125, 0.125)]
    return sum(
        plain * np.asarray(model(moved(x, by))) + mirror * np.asarray(model(moved(x, by)[:, :, ::-1]))
        for by, plain, mirror in weights[name]
    )


@pytest.mark.parametrize("name", VIEWS)
def test_outputs_are_the_weighted_mean_of_the_views(name):
    model = linear()
    np.testing.assert_allclose(judged(model, images(), name, 2), by_hand(model, name), rtol=1e-4, atol=1e-2)
    assert sum(weight for _, weight in views(images(), name)) == 1


def test_the_image_itself_is_the_first_view():
    model = linear()
    for name in VIEWS:
        weight, outputs = each_view(model, images(), name, 2)[0]
        np.testing.assert_allclose(outputs, np.asarray(model(images())), rtol=1e-5, atol=1e-2)
        assert weight == {"none": 1, "flip": 0.5, "flip_shift": 0.25}[name]


def test_a_mirror_image_is_judged_as_its_image():
    model = linear()
    there, back = (judged(model, x, "flip", 3) for x in (images(), images()[:, :, ::-1]))
    np.testing.assert_allclose(there, back, rtol=1e-4, atol=1e-3)


def test_no_view_is_waited_for(monkeypatch):
    """Its batches are not tuned by TensorFlow, and all of one size."""
    model, asked = linear(), []
    predict = model.predict
    monkeypatch.setattr(model, "predict", lambda x, **named: asked.append(x) or predict(x, **named))
    judged(model, images(), "flip", 2)
    assert [x.options().autotune.enabled for x in asked] == [False, False]
    assert {len(batch) for x in asked for (batch,) in x} == {2}
