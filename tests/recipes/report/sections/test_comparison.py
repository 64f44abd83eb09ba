"""What a page says of a comparison."""

import shutil

from recipes.report.sections.comparison import Compared, sections_of_comparison
from tests.recipes.report import made

CELLS = [["contender", "rate", "test_accuracy"], *([label, "0.1", "0.9"] for label in made.LABELS)]


def result_of(directory):
    sections = sections_of_comparison(directory, Compared("test_accuracy", CELLS, []), "again")
    return next(section for section in sections if section.title == "Result")


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
