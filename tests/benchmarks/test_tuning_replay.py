"""The replay of searches, on tables whose answers are known."""

import pytest

tuning_replay = pytest.importorskip("benchmarks.tuning_replay")

BUDGETS = (2, 8, 32)
WAYS = {"2": 2, "2>8": 6, "2>8>32": 24, "8": 8, "8>32": 24}


def table_of(ours, stock, trained=lambda epochs: epochs, configurations=40):
    """Scores as functions of the configuration and of the budget or the way to it."""
    rows = []
    for c in range(configurations):
        common = {"configuration": c, "seed": 0, "schedule": "constant" if c % 2 else "cosine"}
        for epochs in BUDGETS:
            score = {"score": ours(c, epochs), "best": ours(c, epochs), "trained_epochs": trained(epochs)}
            rows.append({**common, "kind": "ours", "way": str(epochs), "epochs": epochs, **score})
        for way, epochs in WAYS.items():
            score = {"score": stock(c, way), "best": stock(c, way), "trained_epochs": epochs}
            rows.append({**common, "kind": "stock", "way": way, "epochs": int(way.split(">")[-1]), **score})
    return tuning_replay.Table(rows)


def rank(c, budget):
    return c / 100


ORDER = list(range(40))
SEEDS = dict.fromkeys(range(40), 0)


def compared(table, replays):
    elsewhere = tuning_replay.replayed_elsewhere(table, tables=5, replays=5)
    return tuning_replay.compared(table, tuning_replay.replayed(table, replays), elsewhere)


def test_random_search_has_the_best_of_what_it_trained():
    table = table_of(rank, rank)
    trace = tuning_replay.random_search(table, [3, 7, 1, 39, *range(8, 30)], SEEDS)
    assert trace == [(32, 0.03, 0.03), (64, 0.07, 0.07), (128, 0.39, 0.39)]
    assert tuning_replay.has_after(trace, 31) == 0
    assert tuning_replay.has_after(trace, 127) == 0.07
    assert tuning_replay.cost_of(trace, 0.05) == 64


def test_what_is_found_is_judged_by_the_seeds_that_were_not_drawn():
    rows = []
    for seed, score in ((0, 0.9), (1, 0.5), (2, 0.7)):
        row = {"configuration": 0, "seed": seed, "schedule": "rex", "kind": "ours", "way": "32", "epochs": 32}
        rows.append({**row, "trained_epochs": 32, "score": score, "best": score})
    table = tuning_replay.Table(rows)
    assert table.quality(0, drawn=0) == pytest.approx(0.6)
    assert tuning_replay.random_search(table, [0], {0: 0}) == [(32, pytest.approx(0.6), 0.9)]
    assert table.quality(0) == pytest.approx(0.7)


def test_halving_where_budgets_rank_as_the_whole_finds_the_best_at_its_known_cost():
    """Falling order: the first five are tried at 2 epochs, and the best of them at 32."""
    table = table_of(rank, rank)
    trace = tuning_replay.ours(table, ORDER[::-1], SEEDS)
    assert trace == [(2, 0.39, 0.0), (5 * 2 + 32, 0.39, 0.39)]
    assert tuning_replay.cost_of(trace, 0.39) == 42


def test_going_on_costs_what_was_trained():
    """Two of the eight epochs are those of the first budget, which the longest goes on from as well."""
    table = table_of(rank, rank, trained={2: 2, 8: 6, 32: 24}.get)
    trace = tuning_replay.ours(table, ORDER[::-1], SEEDS)
    assert trace[-1].cost == 5 * 2 + 30


@pytest.mark.slow
def test_what_going_on_saves_is_a_share_of_what_the_search_trains():
    """All are alike, so that eight are trained for 32 epochs, whatever their order."""
    table = table_of(lambda c, budget: 0.5, rank, trained={2: 2, 8: 6, 32: 24}.get)
    saved = compared(table, 3)["saved_by_going_on"]
    assert saved["all"] == pytest.approx(8 * 2 / (40 * 2 + 8 * 32))
    assert sorted(saved) == ["all", "constant", "cosine"]
    at_all = compared(table, 1)["saved_by_going_on_at_all_budgets"]
    assert at_all == {"constant": pytest.approx(10 / 42), "cosine": pytest.approx(10 / 42)}


def test_stock_hyperband_is_keras_tuners_with_its_first_bracket_and_its_continued_trials():
    table = table_of(rank, rank)
    trace = tuning_replay.stock(table, ORDER, SEEDS)
    assert trace[:3] == [(2, 0.0, 0.0), (4, 0.01, 0.01), (6, 0.02, 0.02)]  # KerasTuner begins with 22 of two epochs
    assert trace[21] == (44, 0.21, 0.21)
    assert trace[-1].quality == max(found.quality for found in trace)


def test_a_search_that_is_misled_by_its_scores_is_told_by_its_quality():
    """In stock's continued trials the worst look best; what it returns is judged by its whole training."""
    table = table_of(rank, lambda c, way: (40 - c) / 100)
    found = compared(table, 40)
    at_the_end = found["points_above_stock"]["1.00"]
    assert at_the_end["interval"][0] > 5
    assert at_the_end["interval_of_other_configurations"][0] > 5
    low, high = at_the_end["interval"]
    assert low < at_the_end["mean"] < high
    assert found["median_cost_to_reach_it"]["ours"] < 1 / 3
