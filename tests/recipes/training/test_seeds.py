import csv
import json
import re
import shutil

import pytest

from callbacks.exact_resume import read_state
from recipes import training
from recipes.errors import CommandError, WorldError
from recipes.linear_regression import LinearRegression
from recipes.training.seeds import add_row
from tests.recipes.idle import Idle
from tests.recipes.report.test_page import check

TRAIN = ("train", "cifar10_cnn", "--preset", "smoke")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_seeds_of_a_line_are_runs_and_a_row(said, tmp_path):
    options = ["train", "linear_regression", "--preset", "smoke"]
    places = ["--run-dir", tmp_path / "run", "--results", tmp_path / "r"]
    status, out, err = said(*options, "--seeds", 2, "--seed", 4, *places)
    assert (status, err) == (0, "")
    assert said(*options, "--seed", 5, "--run-dir", tmp_path / "alone")[0] == 0
    (_, arrays), (_, others) = (read_state(tmp_path / d / "state.npz") for d in ("run/seed-5", "alone"))
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}
    distances = [json.loads((tmp_path / f"run/seed-{k}/result.json").read_text())["distance"] for k in (4, 5)]
    (row,) = rows(tmp_path / "r" / "linear_regression.csv")
    assert float(row["mean"]) == pytest.approx(sum(distances) / 2, rel=1e-5)
    assert [row["seed"] for row in rows(tmp_path / "run" / "seeds.csv")] == ["4", "5"]
    assert "2 seeds" in out
    shutil.rmtree(tmp_path / "run" / "seed-5")
    (tmp_path / "run" / "result.json").unlink()
    goes_on = said(*options, "--seeds", 2, "--seed", 4, *places)
    assert (goes_on[0], goes_on[1].count("is done already")) == (0, 1)
    assert json.loads((tmp_path / "run/seed-5/result.json").read_text())["distance"] == distances[1]


@pytest.mark.slow
def test_each_seed_is_the_run_it_would_be_alone(said, tmp_path, pages):
    status, out, err = said(
        *TRAIN, "--seeds", 3, "--seed", 7, "--run-dir", tmp_path / "run", "--results", tmp_path / "r"
    )
    assert (status, err) == (0, "")
    assert said(*TRAIN, "--seed", 9, "--run-dir", tmp_path / "alone")[0] == 0
    (about, arrays), (expected, others) = (read_state(tmp_path / d / "state.npz") for d in ("run/seed-9", "alone"))
    assert about["history"] == expected["history"]
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in others.items()}
    for seed in (7, 8, 9):
        check((tmp_path / f"run/seed-{seed}/report.html").read_text())
        assert f"--seed {seed} " in (tmp_path / f"run/seed-{seed}/model_card.md").read_text()
    each = rows(tmp_path / "run" / "seeds.csv")
    assert [row["seed"] for row in each] == ["7", "8", "9"]
    accuracies = [json.loads((tmp_path / f"run/seed-{k}/result.json").read_text())["test_accuracy"] for k in (7, 8, 9)]
    (row,) = rows(tmp_path / "r" / "cifar10_cnn.csv")
    assert float(row["mean"]) == pytest.approx(sum(accuracies) / 3, rel=1e-5)
    assert (row["n"], row["data"], row["optimizer"], row["cores"] > "0", row["keras"] > "3") == (
        "3",
        "digits",
        "batch_gd",
        True,
        True,
    )
    assert "3 seeds" in out
    one_page_has_all_seeds(said, tmp_path / "run")
    again = said(*TRAIN, "--seeds", 3, "--seed", 7, "--run-dir", tmp_path / "run", "--results", tmp_path / "r")
    assert again[0] == 0
    assert "is done already" in again[1]
    assert len(rows(tmp_path / "r" / "cifar10_cnn.csv")) == 1
    shutil.rmtree(tmp_path / "run" / "seed-8")
    (tmp_path / "run" / "result.json").unlink()
    status, _, err = said("evaluate", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert "several seeds; give one, such as" in err
    goes_on = said(*TRAIN, "--seeds", 3, "--seed", 7, "--run-dir", tmp_path / "run", "--results", tmp_path / "r")
    assert goes_on[1].count("is done already") == 2
    assert [r["test_accuracy"] for r in rows(tmp_path / "run" / "seeds.csv")] == [r["test_accuracy"] for r in each]


def one_page_has_all_seeds(said, directory):
    assert said("report", directory)[:2] == (0, f"{directory / 'report.html'}\n")
    text = (directory / "report.html").read_text()
    check(text)
    titles = [f"cifar10_cnn: groupnorm on digits: run in seed-{seed}" for seed in (7, 8, 9)]
    assert re.findall("<h1>(.*)</h1>", text) == titles


def test_a_row_is_added_once(tmp_path):
    path = tmp_path / "table.csv"
    for _ in range(2):
        add_row(path, {"a": 1, "b": None, "c": 0.1})
    add_row(path, {"a": 1, "b": None, "c": 0.2})
    assert [row["c"] for row in rows(path)] == ["0.1", "0.2"]


def test_a_table_that_is_none_is_left_alone(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(WorldError, match="cannot read"):
        add_row(tmp_path / "table.csv", {"a": 1})
    assert (tmp_path / "table.csv").read_bytes() == b"\xff\xfe\x00binary"


@pytest.mark.parametrize("content", ["shopping,price\nmilk,1\n", "a,b\n1\n", "a,b\n1,2,3\n"])
def test_a_table_of_something_else_is_left_alone(tmp_path, content):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(WorldError, match=r"nothing was added|line 2 has not as many cells"):
        add_row(tmp_path / "table.csv", {"a": 1})
    assert (tmp_path / "table.csv").read_text() == content


def test_seeds_beyond_the_last(said, tmp_path):
    status, _, err = said(*TRAIN, "--seeds", 2, "--seed", 2**32 - 1, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert not (tmp_path / "run").exists()


def test_rows_are_added_and_columns_too(tmp_path):
    path = tmp_path / "new" / "table.csv"
    add_row(path, {"a": 1, "b": 2})
    add_row(path, {"a": 3, "c": 4})
    assert rows(path) == [{"a": "1", "b": "2", "c": ""}, {"a": "3", "b": "", "c": "4"}]


def test_a_function_is_told_of_each_run_that_is_done(tmp_path):
    """Those that were done before and those that diverged too; seeds of which one diverged have no average."""
    ended, places = [], {"results": tmp_path / "r", "ended": lambda directory: ended.append(directory.name)}
    recipe = LinearRegression.from_preset("smoke", seed=3)
    row, _ = training.train_seeds(recipe, 2, tmp_path / "run", **places)
    assert (row["n"], row["first_seed"], row["score"], ended) == (2, 3, "distance", ["seed-3", "seed-4"])
    assert training.train_seeds(recipe, 3, tmp_path / "run", **places)[0]["n"] == 3  # one more
    assert ended == ["seed-3", "seed-4", "seed-3", "seed-4", "seed-5"]
    wild = LinearRegression(learning_rate=10.0)
    with pytest.raises(WorldError, match=r"training diverged with seed 0; see .*wild/seed-0"):
        training.train_seeds(wild, 2, tmp_path / "wild", **places)
    assert ended == ["seed-3", "seed-4", "seed-3", "seed-4", "seed-5", "seed-0", "seed-1"]
    assert not (tmp_path / "wild" / "result.json").exists()
    assert len(rows(tmp_path / "r" / "linear_regression.csv")) == 2


def test_the_table_of_a_user_s_recipe_has_a_name_that_a_file_can_have():
    assert training.table_of(LinearRegression(), "r").name == "linear_regression.csv"
    assert training.table_of(Idle(), "r").name == "tests.recipes.idle.Idle.csv"


def test_several_seeds_and_one_run_do_not_share_a_directory(tmp_path):
    recipe = LinearRegression.from_preset("smoke")
    training.train(recipe, tmp_path / "run")
    with pytest.raises(CommandError, match="holds a run, not the runs of several seeds"):
        training.train_seeds(recipe, 2, tmp_path / "run", tmp_path)


@pytest.mark.parametrize("seeds", ["1", "0", "-3", "many", "1.5"])
def test_numbers_of_seeds(said, tmp_path, seeds):
    status, _, err = said(*TRAIN, "--seeds", seeds, "--run-dir", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert not (tmp_path / "run").exists()
