"""Several runs side by side: curves over each other, a table of results, and the settings that differ."""

import json
import shutil

import pytest

from recipes import run as runs
from recipes.report import write_report
from recipes.report.pictures.overlaid import overlaid
from recipes.report.sections.side_by_side import sections_side_by_side
from tests.recipes.report.test_page import check


@pytest.fixture
def two(finished, tmp_path):
    """A run, and one with another rate that came to another result."""
    other = shutil.copytree(finished, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "learning_rate": 0.0625, "seed": 7}))
    result = json.loads((other / "result.json").read_text())
    (other / "result.json").write_text(json.dumps({**result, "test_accuracy": 0.5}))
    return finished, other


def sections_of(*groups):
    read = {str(i): [runs.read_directory(each) for each in group] for i, group in enumerate(groups)}
    return {section.title: section for section in sections_side_by_side(read)}


def test_two_runs_have_their_curves_results_and_differences(two):
    found = sections_of(*([each] for each in two))
    assert list(found) == ["Side by side", "Settings that differ"]
    first, second = (json.loads((each / "result.json").read_text()) for each in two)
    (table,) = found["Side by side"].tables
    column = table.columns.index("test_accuracy")
    assert [row[column] for row in table.rows] == [f"{100 * first['test_accuracy']:.1f} %", "50.0 %"]
    assert second["test_accuracy"] == 0.5
    assert [row[:2] for row in table.rows] == [["0", "1 of 1"], ["1", "1 of 1"]]
    rows = {row[0]: row[1:] for row in found["Settings that differ"].tables[0].rows}
    config = json.loads((two[0] / "config.json").read_text())
    assert rows == {
        "seed": [str(config["seed"]), "7"],
        "learning_rate": [f"{config['learning_rate']:.6g}", "0.0625"],
    }
    assert len(found["Side by side"].pictures) >= 4


def test_runs_of_seeds_are_told_by_their_mean_and_their_seed_is_no_difference(two):
    found = sections_of(two)
    assert list(found) == ["Side by side"]
    (table,) = found["Side by side"].tables
    first = json.loads((two[0] / "result.json").read_text())["test_accuracy"]
    assert table.rows[0][:2] == ["0", "2 of 2"]
    assert table.rows[0][table.columns.index("test_accuracy")] == f"{100 * (first + 0.5) / 2:.1f} %"
    assert "a band from the lowest to the highest" in found["Side by side"].texts[0]


def test_one_run_stands_alone(finished):
    assert sections_of([finished]) == {}


def test_the_line_of_seeds_is_their_mean_within_what_they_reach():
    rows = [[{"epoch": "0", "loss": "1"}, {"epoch": "1", "loss": "0.5"}], [{"epoch": "0", "loss": "3"}]]
    (figure,) = overlaid({"a": rows, "b": [rows[0]]}).values()
    first, second = figure.axes[0].lines
    assert list(first.get_ydata()) == [2.0]  # of the epoch that both have
    assert list(second.get_ydata()) == [1.0, 0.5]
    (band,) = figure.axes[0].collections
    assert sorted({y for _, y in band.get_paths()[0].vertices}) == [1.0, 3.0]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]
    assert overlaid({"a": rows, "b": [[]]}) == {}


def test_the_page_of_two_runs_begins_with_both(two, tmp_path):
    text = write_report(two, tmp_path / "page.html").read_text()
    check(text)
    assert text.index("Side by side") < text.index("What was run")
    assert "Validation accuracy of" in text
