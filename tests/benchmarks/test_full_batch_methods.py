"""The parts of the benchmark of full-batch methods: what it chooses, what it tells, and that it goes on."""

import json
import math

import pytest

from benchmarks import full_batch_methods as benchmark

SECONDS = "ms of a pass, s to the lowest loss"


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
    done = []

    def trained(name, method, trainings):
        done.append([each.rate for each in trainings])
        found = ((5, 6 if each.rate in (None, 1e-4) else None) for each in trainings)
        about = ({"problem": name, "method": method, **each._asdict()} for each in trainings)
        return [row(passes, 0.005, **of) for passes, of in zip(found, about, strict=True)]

    monkeypatch.setattr(benchmark, "trained", trained)
    monkeypatch.setattr(benchmark, "WITH_A_RATE", {"descent": None})
    monkeypatch.setattr(benchmark, "WITHOUT", {"L-BFGS": None})
    path = tmp_path / "rows.jsonl"
    found = benchmark.compared("softmax regression", benchmark.Rows(path))
    assert [len(rates) for rates in done] == [8 * 2, 5, 1, 1, 1, 1, 1]
    lines = path.read_text().splitlines()
    assert len(lines) == sum(map(len, done))
    path.write_text("".join(line + "\n" for line in lines[:20]))  # as if killed there
    again = benchmark.compared("softmax regression", benchmark.Rows(path))
    assert json.dumps(again) == json.dumps(found)
    assert [len(rates) for rates in done[7:]] == [1, 1, 1, 1, 1, 1]
    assert found["descent"]["rate"] == 1e-4
    assert not found["descent"]["is_at_an_end"]
    assert {name: of["passes_to"]["0.01"]["median"] for name, of in found.items()} == {"descent": 6, "L-BFGS": 6}
    found["L-BFGS"]["seconds_of_a_pass"] = 0.001
    lines = list(benchmark.table("softmax regression", found))
    assert lines[0] == f"softmax regression: rate, passes to 0.1, passes to 0.01, passes to accuracy, {SECONDS}"
    assert lines[1].split() == ["descent", "0.0001", "constant", "5", "6", "-"]
    assert lines[2].split() == ["L-BFGS", "-", "5", "6", "-", "1.00", "0.006"]


@pytest.fixture
def short(monkeypatch):
    for name, levels in (("tanh regression", (0.2, 1e-9)), ("softmax regression", (30.0, 1e-9))):
        problem = benchmark.PROBLEMS[name]._replace(passes=30, call=10, levels=levels)
        monkeypatch.setitem(benchmark.PROBLEMS, name, problem)
    with benchmark.float64():
        yield


@pytest.mark.slow_cases("momentum", "Muon")
@pytest.mark.parametrize("method", ["momentum", "Muon", "Adam"])
def test_trainings_of_one_fit_are_those_of_several(method, short):
    """Weights, momentum, counts and rates begin anew, and a cosine falls with the epochs."""
    trainings = [benchmark.Training(1, 0.1, "cosine"), benchmark.Training(2, 0.01, "constant")]
    trainings.append(benchmark.Training(1, 0.1, "constant"))
    together = benchmark.trained("tanh regression", method, trainings)
    for training, found in zip(trainings, together, strict=True):
        (alone,) = benchmark.trained("tanh regression", method, [training])
        assert alone["lowest"] == pytest.approx(found["lowest"], rel=1e-5)
        assert {**alone, "lowest": found["lowest"]} == found
    assert together[0]["lowest"] != together[2]["lowest"]


def test_a_search_counts_passes(short):
    (found,) = benchmark.trained("tanh regression", "L-BFGS", [benchmark.Training(1)])
    assert found["passes"] == 30
    assert found["passes_to"]["1e-09"] is None
    assert 1 <= found["passes_to"]["0.2"] <= 30
    assert found["passes_to_accuracy"] is None
    (other,) = benchmark.trained("softmax regression", "L-BFGS", [benchmark.Training(1)])
    assert other["passes_to"]["30.0"] < 30
    assert other["passes_to_accuracy"] in (None, 10, 20, 30)
