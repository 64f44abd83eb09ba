"""Whose a trial is."""

import contextlib
import gc
import sqlite3
import time

import pytest
import sqlalchemy

from recipes.tuning import StorageOracle
from tests.recipes.tuning.searches import SCORE, finish, oracle_of, space


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch):
    """Leases that have ended are free at once; what there is after an outage has a test of its own."""
    monkeypatch.setattr("recipes.tuning.storage.leases.GRACE", 0.0)


def test_a_result_counts_only_with_the_token_of_the_lease(storage):
    slow = oracle_of(storage, 1, lease_seconds=0.4)
    quick = oracle_of(storage, 1, lease_seconds=60.0)
    trial = slow.create_trial("tuner0")
    slow._leases._ended.set()  # it renews no more, as if its machine slept
    time.sleep(0.6)
    again = quick.create_trial("tuner1")
    assert again.trial_id == trial.trial_id
    assert again.hyperparameters.values == trial.hyperparameters.values
    finish(slow, trial, 0.1)
    assert quick.get_trial(trial.trial_id).status == "RUNNING"
    finish(quick, again, 0.2)
    assert [(each.status, each.score) for each in slow.trials.values()] == [("COMPLETED", 0.2)]


def test_a_result_counts_only_for_the_attempt_that_it_is_of(storage):
    """A worker that has lost a trial and was given it again does not take what the first attempt came to."""
    oracle = oracle_of(storage, 1)
    first = oracle.create_trial("tuner0")
    expire(oracle)
    oracle._leases._held.clear()  # as if another worker had had it meanwhile
    second = oracle.create_trial("tuner1")
    assert second.trial_id == first.trial_id
    finish(oracle, first, 0.1)
    assert oracle.get_trial(first.trial_id).status == "RUNNING"
    finish(oracle, second, 0.2)
    assert oracle.get_trial(first.trial_id).score == 0.2


def test_who_has_lost_a_lease_is_told(storage):
    slow, quick = oracle_of(storage, 1, lease_seconds=1.0), oracle_of(storage, 1)
    trial = slow.create_trial("tuner0")
    with quick._database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE keras_descent_leases SET expires = 0")
    assert quick.create_trial("tuner1").trial_id == trial.trial_id
    wait_until(lambda: slow.is_lost(trial))


def test_leases_are_renewed_while_a_trial_runs(storage):
    oracle, other = oracle_of(storage, 1, lease_seconds=3.0), oracle_of(storage, 1)
    oracle.create_trial("tuner0")
    for _ in range(2):
        before = expires(oracle)
        wait_until(lambda before=before: expires(oracle) > before)
        assert other.create_trial("tuner1").status == "IDLE"


def wait_until(happened, seconds=60):
    """Wait for what may take long beside other work."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def expires(oracle):
    """When the lease of the one trial ends."""
    with oracle._database.engine.begin() as connection:
        return connection.exec_driver_sql("SELECT expires FROM keras_descent_leases").scalar()


def expire(oracle):
    """End all leases, which are another machine's from here on."""
    with oracle._database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE keras_descent_leases SET expires = 0, owner = 'another host 1 1'")


def test_a_trial_whose_lease_has_ended_is_taken_over_and_one_that_was_lost_too_often_fails(storage):
    oracle = oracle_of(storage, 1, max_attempts=2)
    first = oracle.create_trial("tuner0")
    for expected in ("RUNNING", "STOPPED"):
        expire(oracle)
        assert oracle_of(storage, 1, max_attempts=2).create_trial("tuner1").status == expected
    assert oracle.get_trial(first.trial_id).status == "FAILED"
    assert oracle.get_trial(first.trial_id).message == "its worker was lost 2 times"


def test_workers_of_one_process_do_not_take_trials_from_each_other(storage):
    oracle = oracle_of(storage, 1)
    oracle.create_trial("tuner0")
    expire(oracle)
    assert oracle.create_trial("tuner1").status == "IDLE"


def test_a_worker_that_ends_by_itself_was_not_lost(storage):
    oracle, other = oracle_of(storage, 1, max_attempts=1), oracle_of(storage, 1, max_attempts=1)
    trial = oracle.create_trial("tuner0")
    oracle.close()
    assert other.create_trial("tuner0").trial_id == trial.trial_id


def test_a_trial_that_is_given_back_is_the_next_ones_at_once_and_no_attempt_was_made(storage):
    oracle, other = oracle_of(storage, 1, max_attempts=1), oracle_of(storage, 1, max_attempts=1)
    trial = oracle.create_trial("tuner0")
    oracle.release(trial)
    assert other.create_trial("tuner1").trial_id == trial.trial_id


def test_a_trial_whose_process_dies_is_tried_again_and_fails_the_third_time(storage):
    oracle = oracle_of(storage, 1)
    for expected in ("RUNNING", "RUNNING", "FAILED"):
        trial = oracle.create_trial("tuner0")
        assert trial.trial_id == "0000"
        finish(oracle, trial, 0.5, "INVALID", "its process ended with signal 9")
        assert oracle.get_trial("0000").status == expected
    assert oracle.get_trial("0000").message == "its process ended with signal 9"
    assert oracle.create_trial("tuner0").status == "STOPPED"


def test_a_process_that_ends_in_the_middle_of_a_transaction_does_not_wait_for_it(storage):
    oracle = oracle_of(storage, 1)
    oracle.create_trial("tuner0")
    begin = time.monotonic()
    with oracle._database.session() as session:
        session.execute(sqlalchemy.text("UPDATE keras_descent_leases SET expires = expires"))
        oracle._leases.close()
    assert time.monotonic() - begin < 20  # and not the minute that a session may wait


def test_an_oracle_that_nobody_refers_to_renews_no_more(tmp_path):
    storage = f"sqlite:///{tmp_path / 'db'}"
    first = StorageOracle(storage, SCORE, 1, hyperparameters=space(), seed=5, lease_seconds=0.4)
    trial_id = first.create_trial("tuner0").trial_id
    ended = first._leases._ended
    assert not ended.is_set()
    del first
    gc.collect()
    time.sleep(0.6)
    assert oracle_of(storage, 1).create_trial("tuner0").trial_id == trial_id


@pytest.mark.parametrize("has_seen_it", [True, False])
def test_leases_that_ended_in_an_outage_can_still_be_renewed_after_it(storage, monkeypatch, has_seen_it):
    """By a worker that had no connection meanwhile, and by one that begins after it."""
    monkeypatch.setattr("recipes.tuning.storage.leases.GRACE", 45.0)
    oracle = oracle_of(storage, 1)
    oracle.create_trial("tuner0")
    expire(oracle)
    other = oracle_of(storage, 1)
    if has_seen_it:
        other._database.since, other._database._is_away = 0.0, True  # as after an error of the connection
    assert other.create_trial("tuner0").status == "IDLE"
    monkeypatch.setattr("recipes.tuning.storage.leases.GRACE", 0.0)
    assert other.create_trial("tuner0").status == "RUNNING"


def test_an_answer_that_is_lost_is_asked_for_again(storage, monkeypatch, capsys):
    """The connection breaks when a claim, and then a result, has been committed: neither happens twice."""
    monkeypatch.setattr("recipes.tuning.storage.database.PAUSE", 0.01)
    oracle = oracle_of(storage, 2)
    session, breaks = oracle._database.session, []

    @contextlib.contextmanager
    def broken():
        with session() as made:
            yield made
        if breaks:
            breaks.pop()
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, sqlite3.OperationalError("locked, or so"))

    monkeypatch.setattr(oracle._database, "session", broken)
    breaks.append("claim")
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"score": 0.5})
    trial.status = "COMPLETED"
    breaks.append("result")
    oracle.end_trial(trial)
    assert not breaks
    assert [(each.trial_id, each.score) for each in oracle.trials.values()] == [(trial.trial_id, 0.5)]
    assert capsys.readouterr().err == "The database does not answer; trying again.\n" * 2


def test_renewing_outlives_errors_and_tries_again_soon(tmp_path, monkeypatch):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 1, lease_seconds=2.0)
    oracle.create_trial("tuner0")
    calls, renew = [], type(oracle._leases).renew

    def fails_twice(leases):
        calls.append(None)
        if len(calls) <= 2:
            raise OSError("no route to host")
        renew(leases)

    monkeypatch.setattr(type(oracle._leases), "renew", fails_twice)
    other = oracle_of(f"sqlite:///{tmp_path / 'db'}", 1)
    wait_until(lambda: len(calls) > 3)
    assert other.create_trial("tuner0").status == "IDLE"


def test_a_running_trial_that_has_no_lease_is_claimed(storage):
    oracle = oracle_of(storage, 1)
    trial = oracle.create_trial("tuner0")
    with oracle._database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM keras_descent_leases")
    assert oracle_of(storage, 1).create_trial("tuner1").trial_id == trial.trial_id
