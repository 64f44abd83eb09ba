"""What a page says of a search."""

import pytest

from recipes.report.sections.search import Best, sections_of_search
from tests.recipes.report import made

SETTINGS = {"optimizer": "momentum", "learning_rate": 0.1, "schedule": "constant:until=0.5+linear:end=0.02"}
BEST = Best(0.9, "train", SETTINGS)


def test_trials_keep_their_names_and_begin_with_what_is_looked_for(tmp_path):
    made.search(tmp_path / "search")
    sections = sections_of_search(tmp_path / "search", "val_accuracy", BEST, "again")
    (table,) = next(section.tables for section in sections if section.title == "Trials")
    assert table.columns[:4] == ["trial", "score", "schedule", "learning_rate"]
    assert "message" not in table.columns  # those that failed are not among the best
    assert table.rows[0][:2] == ["0003-0", "0.9"]
    assert len(table.rows) == 30


def test_its_pictures_have_the_best_in_words(tmp_path):
    made.search(tmp_path)
    sections = sections_of_search(tmp_path, "val_accuracy", BEST, "again")
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
    section = sections_of_search(tmp_path, "loss", Best(0.1, "train", {}), command)[0]
    assert (section.texts, section.commands) == ([words], [command])
    (section,) = sections_of_search(tmp_path, "loss", None, command)
    assert section.texts == ["Not done. The command that goes on with it:"]


def test_a_command_that_is_not_carried_out_any_more_is_not_offered(tmp_path):
    said = "Version 0.1 wrote this search; this version shows it, and does not go on with it."
    section = sections_of_search(tmp_path, "loss", Best(0.1, "train", {}), None)[0]
    assert (section.texts, section.commands) == ([said], ())
    (section,) = sections_of_search(tmp_path, "loss", None, None)
    assert (section.texts, section.commands) == (["Not done.", said], ())


def test_a_column_without_values_is_left_out(tmp_path):
    (tmp_path / "trials.csv").write_text("trial,order,message,score,rate\n0002,2,,0.123456789,0.1\n0010,10,,0.2,\n")
    (section,) = sections_of_search(tmp_path, "loss", Best(0.1, "train", {}), "again")[3:]
    (table,) = section.tables
    assert table.columns == ["trial", "score", "rate", "order"]
    assert table.rows == [["0002", "0.12346", "0.1", "2"], ["0010", "0.2", "", "10"]]
