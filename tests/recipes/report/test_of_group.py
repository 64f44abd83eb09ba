"""What a page says of a search and of a comparison."""

import shutil

import pytest

from recipes.report.of_group import sections_of_comparison, sections_of_search
from tests.recipes.report import made

CELLS = [["contender", "rate", "test_accuracy"], *([label, "0.1", "0.9"] for label in made.LABELS)]


def result_of(directory):
    return next(s for s in sections_of_comparison(directory, CELLS, [], "again") if s.title == "Result")


def test_trials_keep_their_names_and_begin_with_what_is_looked_for(tmp_path):
    made.search(tmp_path / "search")
    sections = sections_of_search(tmp_path / "search", "val_accuracy", (0.9, "train"), "again")
    (table,) = next(section.tables for section in sections if section.title == "Trials")
    assert table.columns[:4] == ["trial", "score", "schedule", "learning_rate"]
    assert "message" not in table.columns  # those that failed are not among the best
    assert table.rows[0][:2] == ["0003-0", "0.9"]
    assert len(table.rows) == 30


def test_its_pictures_have_the_best_in_words(tmp_path):
    made.search(tmp_path)
    sections = sections_of_search(tmp_path, "val_accuracy", (0.9, "train"), "again")
    pictures = next(section.pictures for section in sections if section.title == "Scores and learning rates")
    best = "; the best has val_accuracy 0.9, optimizer momentum, learning rate 0.1, schedule constant:"
    assert all(best in picture.words for picture in pictures)
    assert len(pictures) == 3


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("tune --run-dir here", "Shows this search again, or goes on with it:"),
        ("tune --storage sqlite:///a", "Shows this search again, or goes on with it:"),
        ("tune --trials 3", "Begins another search like this one:"),
    ],
)
def test_what_its_command_does_is_said(tmp_path, command, words):
    section = sections_of_search(tmp_path, "loss", (0.1, "train"), command)[0]
    assert (section.texts, section.commands) == ([words], [command])
    (section,) = sections_of_search(tmp_path, "loss", None, command)
    assert section.texts == ["Not done. The command that goes on with it:"]


def test_a_column_without_values_is_left_out(tmp_path):
    (tmp_path / "trials.csv").write_text("trial,order,message,score,rate\n0002,2,,0.123456789,0.1\n0010,10,,0.2,\n")
    (section,) = sections_of_search(tmp_path, "loss", (0.1, "train"), "again")[3:]
    (table,) = section.tables
    assert table.columns == ["trial", "score", "rate", "order"]
    assert table.rows == [["0002", "0.12346", "0.1", "2"], ["0010", "0.2", "", "10"]]


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
