import importlib

import pytest

from recipes import training
from recipes.linear_regression import LinearRegression
from tests.recipes.scans_mlp import ScansMLP


@pytest.mark.parametrize("batch_size", [100, 10])
def test_a_rate_between_the_bounds_descends(batch_size):
    recipe = LinearRegression(batch_size=batch_size)
    low, high = training.find_rates(recipe, recipe.load())
    assert 0 < low < high < 10
    assert low < 0.4 < high * 10  # 0.7 is what the recipe takes in batches of all


def test_full_batches_are_of_a_part_of_the_images(monkeypatch):
    monkeypatch.setattr(importlib.import_module("recipes.training.find_rates"), "UPDATES", 10)
    recipe, seen = ScansMLP(width=8, depth=1), []
    batches = ScansMLP.batches
    monkeypatch.setattr(ScansMLP, "batches", lambda self, data: seen.append(data.train_size) or batches(self, data))
    training.find_rates(recipe, recipe.load())
    assert seen == [512]
    seen.clear()
    few = ScansMLP(width=8, depth=1, train_images=60)
    training.find_rates(few, few.load())
    assert seen == [60]
