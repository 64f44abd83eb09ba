import numpy as np
from sklearn.metrics import confusion_matrix

from recipes.classification.confusion import SHOWN, confusion

RNG = np.random.default_rng(0)


def test_counts_are_those_of_scikit_learn():
    probabilities, labels = RNG.dirichlet(np.ones(7), 300), RNG.integers(0, 6, 300)  # no image of class 6
    counts = confusion(probabilities, np.zeros((300, 2, 2, 1), "uint8"), labels)["counts"]
    expected = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(7))
    np.testing.assert_array_equal(counts, expected)


def test_mistakes_are_those_with_the_highest_probability_the_surest_first():
    probabilities, labels = RNG.dirichlet(np.ones(4), 200), RNG.integers(0, 4, 200)
    images = RNG.integers(0, 256, (200, 3, 3, 1)).astype("uint8")
    found = confusion(probabilities, images, labels)
    wrong = [i for i in range(200) if probabilities[i].argmax() != labels[i]]
    surest = sorted(wrong, key=lambda i: -probabilities[i].max())[:SHOWN]
    np.testing.assert_array_equal(found["images"], images[surest])
    np.testing.assert_array_equal(found["labels"], labels[surest])
    np.testing.assert_array_equal(found["guesses"], probabilities[surest].argmax(axis=1))
    np.testing.assert_allclose(found["confidences"], probabilities[surest].max(axis=1), rtol=1e-6)


def test_without_mistakes_none_is_shown():
    found = confusion(np.eye(3), np.zeros((3, 2, 2, 1), "uint8"), np.arange(3))
    assert len(found["images"]) == 0
    np.testing.assert_array_equal(found["counts"], np.eye(3))
