"""What the table of trainings is kept in."""

import json

import pytest

tuning_table = pytest.importorskip("benchmarks.tuning_table")


@pytest.fixture(scope="module")
def described():
    hypermodel = tuning_table.hypermodel_of("digits")
    return [tuning_table.described(hypermodel, each) for each in tuning_table.configurations(hypermodel)]


def rows(configuration, settings, kind="ours"):
    about = {"configuration": configuration, "schedule": "rex", "settings": settings[configuration], "seed": 1}
    return [{**about, "kind": kind, "way": way, "score": 0.5} for way in ("2", "8")]


def test_configurations_are_all_different_and_said_in_full(described):
    assert len(set(described)) == tuning_table.CONFIGURATIONS
    first = json.loads(described[0])
    assert set(first) == {"schedule", "learning_rate", "momentum", "clipping", "batch_size"}
    assert 0.001 <= first["learning_rate"] <= 1


def test_what_is_in_the_table_is_not_trained_again(tmp_path, described):
    table = tmp_path / "table.csv"
    assert tuning_table.written(table, described) == set()
    tuning_table.add(table, rows(3, described))
    tuning_table.add(table, rows(3, described, "stock"))
    assert tuning_table.written(table, described) == {(3, 1, "ours"), (3, 1, "stock")}
    assert len(tuning_table.rows_of(table)) == 4


def test_a_table_of_other_configurations_is_refused(tmp_path, described):
    table = tmp_path / "table.csv"
    tuning_table.add(table, rows(3, described))
    with pytest.raises(SystemExit, match="configuration 3 was"):
        tuning_table.written(table, described[::-1])
