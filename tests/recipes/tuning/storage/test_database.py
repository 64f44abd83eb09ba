"""Databases that cannot be, fill up, or hang."""

import os
import sqlite3

import optuna
import pytest
import sqlalchemy
from optuna.storages._rdb import models

from recipes.errors import CommandError, WorldError
from recipes.tuning.storage import sqlite_url
from tests.recipes.tuning.searches import finish, oracle_of


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqlite:////no/such/directory/x.db", WorldError),
        ("postgresql://nobody:secret@127.0.0.1:1/x", WorldError),
        ("postgresql://nobody:sec{ret}@127.0.0.1:1/x", WorldError),
        ("postgresql://nobody:secret@127.0.0.1:port/x", CommandError),
        ("nonsense", CommandError),
        ("oracle9://secret:secret@x/y", CommandError),
        ("sqlite://", CommandError),
        ("sqlite:///:memory:", CommandError),
    ],
)
def test_a_database_that_cannot_be_is_one_line_without_the_password(url, error):
    with pytest.raises(error, match="--storage") as raised:
        oracle_of(url)
    assert "\n" not in str(raised.value)
    assert ":sec" not in str(raised.value)


def test_a_file_may_have_any_name(tmp_path):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'a {b} c%20d.db'}", 1)
    finish(oracle, oracle.create_trial("tuner0"))
    assert len(list(tmp_path.glob("a {b} *.db"))) == 1


@pytest.mark.parametrize("name", ["search.db", "what? 100%41 {b} #1&x=y@z:;+é.db"])
def test_the_url_of_a_file_is_that_of_the_file(tmp_path, monkeypatch, name):
    oracle = oracle_of(sqlite_url(tmp_path / name), 1)
    finish(oracle, oracle.create_trial("tuner0"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    monkeypatch.chdir(tmp_path)
    assert sqlite_url(name) == sqlite_url(tmp_path / name)


def test_a_study_that_is_deleted_is_one_line(storage):
    oracle = oracle_of(storage)
    optuna.delete_study(study_name="search", storage=oracle._database.storage)
    with pytest.raises(WorldError, match="is not in the database any more"):
        oracle.create_trial("tuner0")


@pytest.mark.parametrize(
    ("state", "passes"),
    [
        (None, True),  # no answer
        ("08006", True),  # connection failure
        ("57P03", True),  # the server is starting
        ("53300", True),  # too many connections
        ("40P01", True),  # deadlock
        ("53100", False),  # disk full
        ("42501", False),  # no permission
    ],
)
def test_only_what_passes_is_waited_for(postgresql, state, passes):
    database = oracle_of(postgresql.new(f"states_{os.getpid()}_{state}".lower()))._database
    original = RuntimeError("said the server")
    original.sqlstate = state
    assert database._may_pass(sqlalchemy.exc.OperationalError("SELECT", {}, original)) == passes


def freeze_in_a_transaction(oracle, meanwhile):
    with oracle._database.session() as session:
        models.StudyModel.find_or_raise_by_id(oracle._rows.study, session, for_update=True)
        meanwhile()
        session.execute(sqlalchemy.text("SELECT 1"))


def test_a_machine_that_freezes_in_a_transaction_does_not_stop_the_others(postgresql, monkeypatch):
    monkeypatch.setattr("recipes.tuning.storage.database.STALL", 1)
    storage = postgresql.new(f"frozen_{os.getpid()}")
    frozen, other = oracle_of(storage), oracle_of(storage)
    claimed = []
    with pytest.raises(sqlalchemy.exc.DBAPIError) as error:
        freeze_in_a_transaction(frozen, lambda: claimed.append(other.create_trial("tuner0")))
    assert frozen._database._may_pass(error.value)
    assert [trial.status for trial in claimed] == ["RUNNING"]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 3)

    def full(*arguments, **options):
        import sqlalchemy

        raise sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(oracle, "_claim", full)
    with pytest.raises(WorldError, match="database or disk is full") as error:
        oracle.create_trial("tuner0")
    assert "\n" not in str(error.value)
