"""What no kill and no outage may change: every trial is completed, and once."""

import functools
import os
import pathlib
import random
import time

import pytest

from tests.recipes.tuning.searches import finish, oracle_of, quality


def work(shared, storage, directory, n, name, lease=20.0, pause=0.03, stuck=False):
    """A worker: trains trials, which takes a moment and leaves a line each, until there are no more."""
    oracle = oracle_of(storage, n, lease_seconds=lease)
    generator = random.Random(name)
    while (trial := oracle.create_trial(f"tuner{name}")).status != "STOPPED":
        if trial.status == "IDLE":
            continue
        if stuck:
            pathlib.Path(directory, "claimed").write_text(trial.trial_id)
            time.sleep(600)
        with open(pathlib.Path(directory, trial.trial_id), "a") as file:
            file.write(f"{name}\n")
        time.sleep(pause * (1 + generator.random()))
        finish(oracle, trial)
    return {}


def begin(processes, number, storage, directory, n, **options):
    made = functools.partial(work, storage=storage, directory=str(directory), n=n, name=number, **options)
    processes.start(number, made, directory.parent / f"worker-{number}.txt", sorted(os.sched_getaffinity(0)))


def until_done(processes, workers, seconds=90):
    end, left = time.monotonic() + seconds, set(workers)
    while left and time.monotonic() < end:
        for ended in processes.ended(0.5):
            assert ended.error is None, ended.error
            left.discard(ended.number)
    assert not left


def runs(directory):
    """How often each trial was begun."""
    return {path.name: len(path.read_text().splitlines()) for path in directory.iterdir() if path.name != "claimed"}


def check_all_done(storage, directory, n, repeated):
    oracle = oracle_of(storage, n)
    trials = oracle.trials
    assert sorted(trials) == [f"{i:04d}" for i in range(n)]
    assert {trial.status for trial in trials.values()} == {"COMPLETED"}
    assert all(trial.score == quality(trial.hyperparameters.values) for trial in trials.values())
    assert sum(runs(directory).values()) <= n + repeated
    assert len(runs(directory)) == n
    with oracle._database.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM keras_descent_leases").scalar() == 0


@pytest.fixture
def directory(tmp_path):
    made = tmp_path / "trials"
    made.mkdir()
    return made


@pytest.mark.slow
def test_two_workers_at_once_never_train_the_same(processes, storage, directory):
    for number in range(2):
        begin(processes, number, storage, directory, 24, pause=0.0)
    until_done(processes, range(2))
    check_all_done(storage, directory, 24, repeated=0)


def test_a_worker_killed_between_claim_and_start_loses_nothing(processes, storage, directory):
    begin(processes, 0, storage, directory, 4, stuck=True)
    while not (directory / "claimed").exists():
        time.sleep(0.05)
    processes.kill(0)
    assert processes.ended(20)[0].error is not None
    begin(processes, 1, storage, directory, 4)
    until_done(processes, [1])
    check_all_done(storage, directory, 4, repeated=0)


@pytest.mark.slow
def test_twenty_random_kills_of_two_workers_leave_every_trial_completed_once(processes, storage, directory):
    """Some kills end both, some in mid-trial, some in a transaction; each costs one trial's work at most."""
    generator, number = random.Random(0), 2
    alive = {0, 1}
    for each in alive:
        begin(processes, each, storage, directory, 60)
    for kill in range(20):
        time.sleep(generator.uniform(0.02, 0.25))
        for victim in list(alive) if kill % 5 == 4 else [generator.choice(sorted(alive))]:
            processes.kill(victim)
            alive.discard(victim)
        while len(alive) < 2:
            begin(processes, number, storage, directory, 60)
            alive.add(number)
            number += 1
    end = time.monotonic() + 90
    while alive and time.monotonic() < end:
        alive -= {ended.number for ended in processes.ended(0.5)}
    assert not alive
    check_all_done(storage, directory, 60, repeated=24)


@pytest.mark.slow
def test_a_database_that_stops_is_waited_for(processes, postgresql, directory):
    seconds = float(os.environ.get("KERAS_DESCENT_OUTAGE", 4))
    storage = postgresql.new(f"outage_{os.getpid()}")
    for number in range(2):
        begin(processes, number, storage, directory, 40, lease=2.0, pause=0.1)
    while len({name for path in directory.iterdir() for name in path.read_text().split()}) < 2:
        time.sleep(0.05)
    postgresql.stop()
    time.sleep(seconds)
    postgresql.start()
    until_done(processes, range(2))
    check_all_done(storage, directory, 40, repeated=0)
    assert "does not answer" in (directory.parent / "worker-0.txt").read_text()
