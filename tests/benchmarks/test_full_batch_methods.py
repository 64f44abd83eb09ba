"""The parts of the benchmark of full-batch methods: what it chooses, what it tells, and that it goes on."""

import json
import math

import pytest

from benchmarks import full_batch_methods as benchmark


def row(reached, lowest, **about):
    passes = dict(zip(("0.1", "0.01"), reached, strict=True))
    return {"problem": "p", "method": "m", "seed": 0, "rate": 0.1, "schedule": "constant"} | {
        **{"passes_to": passes, "passes_to_accuracy": None, "lowest": lowest, "passes": 9},
        **about,
    }


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([row((3, None), 0.02), row((8, 9), 0.005)], 1),  # a lower level is worth more than an earlier one
        ([row((1, 9), 0.005), row((2, 8), 0.009)], 1),  # of the lowest level the earlier one
        ([row((None, None), 0.5), row((None, None), 0.4)], 1),  # of none the lower loss
        ([row((None, None), math.nan), row((None, None), 0.4)], 1),
    ],
)
def test_the_rate_that_is_taken(rows, best):
    assert benchmark.soonest(rows) is rows[best]


@pytest.mark.parametrize(
    ("passes", "median"), [([3, 1, 2], 2), ([3, None, 2], 3), ([3, None, None], None), ([None] * 3, None)]
)
def test_a_level_that_most_trainings_did_not_reach_has_no_median(passes, median):
    assert benchmark.summary(passes) == {"median": median, "each": passes}


def test_what_is_in_the_file_is_not_trained_again(tmp_path, monkeypatch):
    rates = []

    def trained(name, method, seed, rate, schedule):
        rates.append(rate)
        about = {"problem": name, "method": method, "seed": seed, "rate": rate, "schedule": schedule}
        is_best = rate in (None, 1e-4)
        return row((5, 6 if is_best else None), 0.005, **about)

    monkeypatch.setattr(benchmark, "trained", trained)
    monkeypatch.setattr(benchmark, "WITH_A_RATE", {"descent": None})
    monkeypatch.setattr(benchmark, "WITHOUT", {"L-BFGS": None})
    path = tmp_path / "rows.jsonl"
    found = benchmark.compared("softmax regression", benchmark.Rows(path))
    assert len(rates) == len(path.read_text().splitlines()) == 8 * 2 + 2 * 5
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:20]))  # as if killed there
    again = benchmark.compared("softmax regression", benchmark.Rows(path))
    assert json.dumps(again) == json.dumps(found)
    assert len(rates) == 26 + 6
    assert found["descent"]["rate"] == 1e-4
    assert not found["descent"]["is_at_an_end"]
    assert {name: of["passes_to"]["0.01"]["median"] for name, of in found.items()} == {"descent": 6, "L-BFGS": 6}
    lines = list(
        benchmark.table("softmax regression", {**found, "L-BFGS": {**found["L-BFGS"], "seconds_of_a_pass": 0.001}})
    )
    assert lines[0] == "softmax regression: rate, passes to 0.1, passes to 0.01, passes to accuracy, ms of a pass"
    assert lines[1].split() == ["descent", "0.0001", "constant", "5", "6", "-"]
    assert lines[2].split() == ["L-BFGS", "-", "5", "6", "-", "1.000"]


def test_a_small_training_counts_passes(monkeypatch):
    """Of the regression of points by L-BFGS and by descent, and a rate whose cosine ends at the last pass."""
    problem = benchmark.PROBLEMS["tanh regression"]._replace(passes=30, call=10, levels=(0.2, 1e-9))
    monkeypatch.setitem(benchmark.PROBLEMS, "tanh regression", problem)
    with benchmark.float64():
        found = benchmark.trained("tanh regression", "L-BFGS", 1)
        other = benchmark.trained("tanh regression", "descent", 1, 0.1, "cosine")
    for each in (found, other):
        assert each["passes"] == 30
        assert each["passes_to"]["1e-09"] is None
        assert 1 <= each["passes_to"]["0.2"] <= 30
        assert each["passes_to_accuracy"] is None
    assert found["lowest"] < other["lowest"] < 0.2
    rate = benchmark.optimizer_of("descent", 0.1, "cosine", 30)._learning_rate
    assert [float(rate(update)) for update in (0, 30)] == pytest.approx([0.1, 0.0], abs=1e-7)
