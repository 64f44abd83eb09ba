import numpy as np
import pytest
from scipy import stats

from recipes.comparison import verdicts


def test_two_copies_are_within_noise_and_a_certain_difference_is_not():
    found = verdicts({"a": [0.9, 0.8, 0.7], "b": [0.9, 0.8, 0.7], "c": [0.8, 0.7, 0.6]})
    assert found["a", "b"] == {"difference": 0.0, "p": 1.0, "within_noise": True}
    assert found["a", "c"]["within_noise"] is False
    assert found["a", "c"]["difference"] == pytest.approx(0.1)


def test_probabilities_are_those_of_the_paired_t_test_times_the_pairs_that_are_left():
    rng = np.random.default_rng(0)
    scores = {
        name: (rng.normal(size=6) * 0.02 + mean).tolist() for name, mean in zip("abc", (0.9, 0.91, 0.95), strict=True)
    }
    raw = {(x, y): stats.ttest_rel(scores[x], scores[y]).pvalue for x, y in (("a", "b"), ("a", "c"), ("b", "c"))}
    ordered = sorted(raw, key=raw.get)
    found = verdicts(scores)
    assert found[ordered[0]]["p"] == pytest.approx(3 * raw[ordered[0]])
    assert found[ordered[1]]["p"] == pytest.approx(max(2 * raw[ordered[1]], 3 * raw[ordered[0]]))
    assert found[ordered[2]]["p"] >= found[ordered[1]]["p"]


def test_one_image_more_of_360_with_each_of_three_seeds_is_noise_and_eight_are_not():
    """Where scores are rounded, the test has the variance of that, 1 / 12 of a step squared for each."""
    base = np.array([350, 352, 351]) / 360
    of = {"a": base.tolist(), "one": (base + 1 / 360).tolist(), "eight": (base + 8 / 360).tolist()}
    found = verdicts(of, resolution=1 / 360)
    assert found["a", "one"]["within_noise"]
    assert not found["a", "eight"]["within_noise"]
    rounded = np.random.default_rng(0).uniform(size=100_000)
    assert np.var(np.rint(rounded * 360) - rounded * 360) == pytest.approx(1 / 12, rel=0.01)


def test_differences_of_one_seed_are_noise():
    found = verdicts({"a": [0.9], "b": [0.1]})
    assert found["a", "b"] == {"difference": pytest.approx(0.8), "p": None, "within_noise": True}


def test_what_diverged_with_a_seed_is_like_nothing_else_and_changes_no_verdict():
    nan = float("nan")
    scores = {"a": [0.90, 0.80, 0.71], "b": [0.91, 0.79, 0.70], "c": [0.1, 0.1, 0.1]}
    alone, found = verdicts(scores), verdicts({"never": [0.9, nan, 0.8], **scores})
    assert {pair: found[pair] for pair in alone} == alone
    for label in scores:
        assert found["never", label]["p"] is None
        assert not found["never", label]["within_noise"]


def test_equal_contenders_are_told_apart_in_about_one_comparison_of_twenty():
    """All pairs of four, 300 times: Holm keeps the chance of any error at 5 %."""
    rng = np.random.default_rng(1)
    errors = 0
    for _ in range(300):
        found = verdicts({name: rng.normal(size=5).tolist() for name in "abcd"})
        errors += any(not each["within_noise"] for each in found.values())
    assert 2 <= errors <= 27
