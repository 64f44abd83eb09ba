"""What a page says of a comparison."""

import shutil

import pytest

from recipes.errors import WorldError
from recipes.report.sections.comparison import Compared, sections_of_comparison
from tests.recipes.report import made

CELLS = [["contender", "rate", "test_accuracy"], *([label, "0.1", "0.9"] for label in made.LABELS)]


def sections_of(directory):
    compared = Compared("test_accuracy", CELLS, [], ("val_accuracy", "max"), {"batch": 0.1, "adam": 0.01})
    return {section.title: section for section in sections_of_comparison(directory, compared, "again")}


def result_of(directory):
    return sections_of(directory)["Result"]


def test_the_rates_that_were_tried_have_a_section(tmp_path):
    made.comparison(tmp_path)
    assert "Learning rates that were tried" not in sections_of(tmp_path)  # as in comparisons of older versions
    rows = [("batch", 0.1, 0.9), ("batch", 1.0, ""), ("adam", 0.001, 0.7), ("adam", 0.01, 0.8)]
    lines = [",".join(map(str, row)) for row in rows]
    (tmp_path / "rates.csv").write_text("contender,learning_rate,score\n" + "\n".join(lines) + "\n")
    (picture,) = sections_of(tmp_path)["Learning rates that were tried"].pictures
    assert picture.words.endswith(
        "val_accuracy of each learning rate that was tried; trained with: batch 0.1; adam 0.01"
    )
    (tmp_path / "rates.csv").write_text("contender,learning_rate,score\nbatch,high,0.9\n")
    with pytest.raises(WorldError, match=r"rates\.csv is damaged"):
        sections_of(tmp_path)


def test_a_comparison_is_drawn_for_the_page_while_its_trainings_are_there(tmp_path):
    directory = tmp_path / "comparison"
    made.comparison(directory)
    pictures = result_of(directory).pictures
    assert [p.caption.rpartition(" against ")[2] for p in pictures] == ["updates", "epochs", "seconds of training"]
    words = f"of {', '.join(made.LABELS)}; the best: contender batch, rate 0.1, test_accuracy 0.9"
    assert all(p.svg and "val_accuracy" in p.words and p.words.endswith(words) for p in pictures)
    shutil.rmtree(directory / "adam" / "seed-2")
    (picture,) = result_of(directory).pictures
    assert picture.source.startswith("data:image/png")
    assert picture.words.endswith(words)
    (directory / "comparison.png").unlink()
    assert result_of(directory).pictures == []
