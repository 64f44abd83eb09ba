import pytest
from scipy import stats

from recipes.training import interval


def test_the_interval_is_that_of_scipy():
    values = [0.91, 0.93, 0.9, 0.95]
    mean, deviation, low, high = interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert (mean, deviation) == pytest.approx((0.9225, stats.tstd(values)))


def test_values_that_are_all_the_same_have_an_interval_of_nothing():
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0, 0.5, 0.5)


def test_the_interval_of_shares_stays_between_0_and_1():
    assert interval([0.1, 0.2], is_share=True)[2:] == (0.0, pytest.approx(0.785, abs=1e-3))
    assert interval([0.9, 0.99], is_share=True)[3] == 1.0
    assert interval([0.1, 0.2])[2] < 0
