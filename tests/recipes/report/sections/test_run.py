"""What a page says of a run."""

import json
import shutil

import pytest

from recipes import run as runs
from recipes.errors import WorldError
from recipes.report.sections.run import sections_of_run
from tests.recipes.report import made


def titles(sections):
    return {section.title: section for section in sections}


def test_its_files_are_its_sections(finished):
    found = titles(sections_of_run(runs.read_directory(finished), "again"))
    assert list(found) == [
        "What was run",
        "Curves",
        "Confusion matrix",
        *(["Most confident mistakes"] if "Most confident mistakes" in found else []),
        "Result",
        "Settings",
        "Data",
        "Machine and versions",
    ]
    assert found["What was run"].commands == ["again"]
    assert found["What was run"].texts[0].startswith("Test accuracy ")
    told, folded = found["Settings"].tables
    rows = dict(told.rows)
    assert (rows["recipe"], rows["epochs"], rows["train_images"], "trained_on" in rows) == (
        "cifar10_cnn",
        "4",
        "300",
        False,
    )
    assert "learning_rate" not in rows
    assert dict(folded.rows)["learning_rate"] == "0.2"
    assert folded.folded == f"{len(folded.rows)} settings as usual"
    assert not set(rows) & set(dict(folded.rows))
    assert dict(found["Data"].tables[0].rows)["name"] == "digits"
    assert "of" not in dict(found["Result"].tables[0].rows)


def test_one_whose_epochs_were_raised_says_that_its_command_gives_another_run(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (start,) = json.loads((run / "environment.json").read_text())["starts"]
    for schedule, is_told in (("cosine", True), ("constant", False)):
        config = {**json.loads((run / "config.json").read_text()), "schedule": schedule}
        (run / "config.json").write_text(json.dumps(config))
        (run / "environment.json").write_text(json.dumps({"starts": [{**start, "epochs": 2}, {**start, "epochs": 4}]}))
        (section, *_) = sections_of_run(runs.read_directory(run), "again")
        assert (
            any("begun with the schedule of 2 epochs, and raised to 4 later" in each for each in section.texts)
            == is_told
        )
    (run / "environment.json").write_text(json.dumps({"starts": [start, start]}))
    (section, *_) = sections_of_run(runs.read_directory(run), "again")
    assert not any("raised" in each for each in section.texts)


def test_one_that_diverged_says_so(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    result = {"outcome": "diverged", "reason": "the loss is not finite", "epochs": 2, "updates": 2, "of": {"epochs": 4}}
    (run / "result.json").write_text(json.dumps(result))
    (section, *_) = sections_of_run(runs.read_directory(run), "again")
    assert section.texts[0] == "Training diverged within 2 updates: the loss is not finite."


def test_samples_of_a_gan_are_evenly_over_its_training(tmp_path):
    made.gan(tmp_path / "gan")
    found = titles(sections_of_run(runs.read_directory(tmp_path / "gan"), "again"))
    pictures = found["Samples of the same noise"].pictures
    assert [each.caption for each in pictures] == [f"After epoch {epoch}" for epoch in (5, 15, 30, 40)]
    (tmp_path / "gan" / "samples" / "epoch-0005.png").write_bytes(b"no picture")
    with pytest.raises(WorldError, match=r"epoch-0005\.png is damaged"):
        sections_of_run(runs.read_directory(tmp_path / "gan"), "again")
