"""The parts of the comparisons of steps: levels, best rates, what holds, and where a rule loses."""

import numpy as np
import pytest

from benchmarks import cdat, step_sizes


@pytest.mark.parametrize(
    ("passes", "best", "ratio", "holds"),
    [
        (12, 10, 1.2, True),
        (13, 10, 1.3, False),
        (5, None, None, True),
        (None, 5, None, False),
        (None, None, None, None),
    ],
)
def test_a_rule_is_within_the_bound(passes, best, ratio, holds):
    assert step_sizes.beside([passes], [best]) == {"passes": [passes], "ratios": [ratio], "holds": [holds]}


@pytest.mark.parametrize(
    ("passes", "rate", "is_inside"),
    [([None, 7, 9], 2, True), ([7, 9, None], 1, False), ([None, 9, 7], 4, False), ([9, 7, 7], 2, True)],
)
def test_the_best_rate_and_whether_it_is_inside(passes, rate, is_inside):
    assert step_sizes.best_of([1, 2, 4], passes) == {"rate": rate, "passes": 7, "is_inside": is_inside}


def test_no_rate_is_best_where_none_comes_to_a_level():
    assert step_sizes.best_of([1, 2], [None, None]) == {"rate": None, "passes": None, "is_inside": None}


def test_where_rules_lose():
    of = {"shares": [0.1, 0.01], "rules": {"a": {"holds": [True, False]}, "b": {"holds": [None, True]}}}
    assert step_sizes.summary({"one": of}) == {"a": [("one", 0.01)], "b": []}


def test_there_are_eight_rates_of_each_problem():
    for _, rates, shares in step_sizes.PROBLEMS.values():
        ratios = np.diff(np.log2(rates))
        assert len(rates) == 8
        assert (ratios == ratios[0]).all()
        assert sorted(shares, reverse=True) == list(shares)


def of_runs(**losses):
    """Rows of `cdat`: the same loss after all passes and after half of them, from each start."""
    passes = str(cdat.PASSES), str(cdat.PASSES // 2)
    default = dict.fromkeys(cdat.optimizers(), [3.0] * len(cdat.SEEDS))
    every = {**default, **{name.replace("_", " "): each for name, each in losses.items()}}
    return {
        (name, seed): dict.fromkeys(passes, loss)
        for name, each in every.items()
        for seed, loss in zip(cdat.SEEDS, each, strict=True)
    }


def test_cdat_is_compared_with_the_best_rate_of_each_start():
    found = cdat.summary(of_runs(rate_1=[1, 2, 4, 4, 4], rate_2=[2, 1, 4, 4, None], scale_2=[2, 2, 6, 6, 6]))
    assert found["best_rates_of_starts"][:2] == [1, 2]
    assert found["cdat_to_best_rate"]["each"] == [2, 2, 2, 2, 2]
    assert found["losses"]["rate 2"][-1] is None
    assert (found["best_rate_is_inside"], found["holds"]) == (False, False)


def test_curvature_of_a_parabola(monkeypatch):
    import keras

    monkeypatch.setattr(cdat, "MICRO_BATCH", 2)
    x = np.arange(5.0, dtype="float32")[:, None]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    curved, squared = cdat.Curvature(model, x, 0 * x)()  # the loss is 6 * w ** 2, its gradient 12 at w = 1
    assert (curved, squared) == pytest.approx((12 * 12**2, 12**2), rel=1e-6)
