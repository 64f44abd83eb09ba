import numpy as np
import pytest
import scipy.stats

from recipes.gan.metrics import class_statistics


def test_entropy_is_that_of_the_histogram():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), 500)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=10)
    found = class_statistics(probabilities)
    assert found["entropy"] == pytest.approx(scipy.stats.entropy(counts))
    assert found["confidence"] == pytest.approx(probabilities.max(axis=1).mean())
    assert "label_accuracy" not in found


def test_of_one_class_it_is_0():
    assert class_statistics(np.eye(3)[[1, 1]])["entropy"] == 0


@pytest.mark.parametrize(
    ("probabilities", "labels", "said"),
    [(np.zeros((0, 3)), None, "samples, classes"), (np.eye(3), np.zeros(2), "a label for each sample")],
)
def test_what_cannot_be_counted_is_refused(probabilities, labels, said):
    with pytest.raises(ValueError, match=said):
        class_statistics(probabilities, labels)
