"""A search in a database: its decisions, and what no kill and no lost database may change."""

import functools
import json
import math
import os
import pathlib
import random
import sqlite3
import time

import keras_tuner
import numpy as np
import optuna
import pytest

from recipes.errors import CommandError, WorldError
from recipes.tuning import StorageOracle
from recipes.tuning.halving import COMPLETED, STOP, Seen, next_step

SCORE = keras_tuner.Objective("score", "max")


def space():
    hp = keras_tuner.HyperParameters()
    kind = hp.Choice("kind", ["constant", "falling"])
    with hp.conditional_scope("kind", ["falling"]):
        hp.Float("end", 1e-4, 0.1, sampling="log")
    hp.Float("rate", 1e-3, 1.0, sampling="log")
    hp.Int("batch", 32, 128, step=32)
    hp.Boolean("nesterov")
    hp.Fixed("decay", 0.1)
    assert kind == "constant"
    return hp


OPEN = []


@pytest.fixture(autouse=True)
def closed():
    """Every oracle of a test is closed at its end."""
    yield
    while OPEN:
        OPEN.pop().close()


def oracle_of(storage, n=6, **options):
    OPEN.append(StorageOracle(storage, SCORE, n, **{"hyperparameters": space(), "seed": 5, **options}))
    return OPEN[-1]


def quality(values):
    """Best at a rate of 0.1."""
    return 1.0 - abs(math.log10(values["rate"]) + 1) / 3


def finish(oracle, trial, score=None, status="COMPLETED", message=None):
    if score is None:
        score = quality(trial.hyperparameters.values)
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status, trial.message = status, message
    oracle.end_trial(trial)


def searched(oracle):
    """All trials, one after the other, as (id, values, score)."""
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        finish(oracle, trial)
    assert trial.status == "STOPPED"
    return [(each.trial_id, each.hyperparameters.values, each.score) for each in oracle.trials.values()]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_seed_gives_the_same_trials(tmp_path, sampler):
    found = [
        searched(oracle_of(f"sqlite:///{tmp_path / name}", 14, sampler=sampler, seed=seed))
        for name, seed in [("a", 5), ("b", 5), ("c", 6)]
    ]
    assert found[0] == found[1] != found[2]
    assert len({json.dumps(values) for _, values, _ in found[0]}) == 14


def test_only_what_is_active_is_drawn_and_the_study_shows_it(storage):
    oracle = oracle_of(storage, 8)
    searched(oracle)
    study = optuna.load_study(study_name="search", storage=oracle._leases.storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8
    for trial, frozen in zip(oracle.trials.values(), study.trials, strict=True):
        values = trial.hyperparameters.values
        assert ("end" in values) == (values["kind"] == "falling")
        assert frozen.params == {name: value for name, value in values.items() if name != "decay"}
        assert frozen.value == trial.score
        assert frozen.datetime_start <= frozen.datetime_complete
    assert study.best_value == oracle.get_best_trials()[0].score == max(t.score for t in oracle.trials.values())


def test_tpe_finds_more_than_chance(tmp_path):
    """Medians over five seeds of the best of 30 of a function with a narrow top."""
    best = {"random": [], "tpe": []}
    for sampler, scores in best.items():
        for seed in range(5):
            oracle = oracle_of(f"sqlite:///{tmp_path / f'{sampler}{seed}'}", 30, sampler=sampler, seed=seed)
            scores.append(np.mean(sorted(score for _, _, score in searched(oracle))[-10:]))
    assert np.median(best["tpe"]) > np.median(best["random"]) + 0.03


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_steps_are_those_of_keras_tuner_on_every_scale(tmp_path, sampler):
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 8, 128, step=2, sampling="log")
    hp.Int("depth", 1, 6, step=2)
    hp.Float("rate", 1e-5, 1e-2, step=10, sampling="log")
    hp.Float("rest", 0.0, 0.3, step=0.1)
    hp.Float("late", 0.1, 0.9, sampling="reverse_log")
    oracle = StorageOracle(f"sqlite:///{tmp_path / 'db'}", SCORE, 25, hyperparameters=hp, sampler=sampler)
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        for each in hp.space:
            value = trial.hyperparameters.values[each.name]
            assert value in list(each.values) or (each.step is None and 0.1 <= value <= 0.9)
        finish(oracle, trial, trial.hyperparameters.values["late"])
    assert len(oracle.trials) == 25


def test_halving_promotes_as_its_rule_says(storage):
    oracle, seen = oracle_of(storage, 16, rungs=(2, 8, 32)), []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        step = next_step(seen, 16, 3)
        values = trial.hyperparameters.values
        assert trial.trial_id == f"{step.configuration:04d}-{step.rung}"
        assert (values["tuner/epochs"], values["tuner/round"]) == ((2, 8, 32)[step.rung], step.rung)
        if step.rung:
            below = f"{step.configuration:04d}-{step.rung - 1}"
            same = oracle.get_trial(below).hyperparameters.values
            assert values["tuner/trial_id"] == below
            assert {n: v for n, v in values.items() if "/" not in n} == {n: v for n, v in same.items() if "/" not in n}
        finish(oracle, trial)
        seen.append(Seen(step, COMPLETED, quality(values)))
    assert next_step(seen, 16, 3) == STOP
    assert oracle.get_best_trials()[0].hyperparameters.values["tuner/epochs"] == 32


def test_a_space_that_is_exhausted_ends_the_search(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b", "c"])
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 20, hyperparameters=hp)
    scores = iter([1.0, 2.0, 3.0])
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        finish(oracle, trial, next(scores))
    assert sorted(each.hyperparameters.values["kind"] for each in oracle.trials.values()) == ["a", "b", "c"]


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_fails_and_never_wins(tmp_path, score):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 2)
    finish(oracle, oracle.create_trial("tuner0"), score)
    finish(oracle, oracle.create_trial("tuner0"), 0.1)
    assert [trial.status for trial in oracle.trials.values()] == ["FAILED", "COMPLETED"]
    assert oracle.get_best_trials()[0].score == 0.1
    assert "score is" in oracle.get_trial("0000").message


def test_failures_in_a_row_end_the_search_and_a_success_between_them_does_not(tmp_path):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 20)
    for status in ("FAILED", "FAILED", "COMPLETED", "FAILED", "FAILED"):
        finish(oracle, oracle.create_trial("tuner0"), 0.5, status, "no flour")
    with pytest.raises(RuntimeError, match="limit of 3"):
        finish(oracle, oracle.create_trial("tuner0"), 0.5, "FAILED", "no flour")
    assert oracle.create_trial("tuner0").status == "RUNNING"  # no lock is left behind


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 6}, "seed is 5 there and 6 here"),
        ({"sampler": "tpe"}, "sampler"),
        ({"rungs": (1, 4)}, "rungs is null there and"),
        ({"about": {"recipe": "line"}}, 'recipe is null there and "line" here'),
        ({"hyperparameters": keras_tuner.HyperParameters()}, "space is"),
    ],
)
def test_the_study_of_another_search_is_refused(tmp_path, other, named):
    storage = f"sqlite:///{tmp_path / 'db'}"
    searched(oracle_of(storage, 2))
    with pytest.raises(ValueError, match="is of another search") as error:
        oracle_of(storage, **other)
    assert named in str(error.value)
    assert len(oracle_of(storage, 3).trials) == 2  # more trials of the same one are welcome


@pytest.mark.parametrize(
    "url", ["sqlite:////no/such/directory/x.db", "postgresql://nobody:secret@127.0.0.1:1/x", "nonsense", "oracle9://x"]
)
def test_a_database_that_cannot_be_is_one_line_without_the_password(url):
    with pytest.raises((CommandError, WorldError), match="--storage") as error:
        oracle_of(url)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


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


def test_who_has_lost_a_lease_is_told(storage):
    slow, quick = oracle_of(storage, 1, lease_seconds=1.0), oracle_of(storage, 1)
    trial = slow.create_trial("tuner0")
    with quick._leases._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE keras_descent_leases SET expires = 0")
    assert quick.create_trial("tuner1").trial_id == trial.trial_id
    deadline = time.monotonic() + 5
    while not slow.lost and time.monotonic() < deadline:
        time.sleep(0.05)
    assert slow.lost == {trial.trial_id}


def test_leases_are_renewed_while_a_trial_runs(storage):
    oracle, other = oracle_of(storage, 1, lease_seconds=0.8), oracle_of(storage, 1)
    oracle.create_trial("tuner0")
    for _ in range(4):
        time.sleep(0.4)
        assert other.create_trial("tuner1").status == "IDLE"


def test_a_trial_without_a_lease_is_taken_over_and_one_that_was_lost_too_often_fails(storage):
    oracle = oracle_of(storage, 1, max_attempts=2)
    first = oracle.create_trial("tuner0")
    for expected in ("RUNNING", "STOPPED"):
        with oracle._leases._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE keras_descent_leases SET expires = 0, owner = 'another host 1 1'")
        assert oracle.create_trial("tuner1").status == expected
    assert oracle.get_trial(first.trial_id).status == "FAILED"
    assert oracle.get_trial(first.trial_id).message == "its worker was lost 2 times"


def test_a_running_trial_that_has_no_lease_is_claimed(storage):
    oracle = oracle_of(storage, 1)
    trial = oracle.create_trial("tuner0")
    with oracle._leases._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM keras_descent_leases")
    assert oracle_of(storage, 1).create_trial("tuner1").trial_id == trial.trial_id


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
    with oracle._leases._engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM keras_descent_leases").scalar() == 0


@pytest.fixture
def directory(tmp_path):
    made = tmp_path / "trials"
    made.mkdir()
    return made


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


def test_a_database_that_stops_is_waited_for(processes, postgresql, directory):
    seconds = float(os.environ.get("KERAS_DESCENT_OUTAGE", 4))
    storage = postgresql.new(f"outage_{os.getpid()}")
    for number in range(2):
        begin(processes, number, storage, directory, 40, lease=2.0, pause=0.1)
    while len(runs(directory)) < 3:
        time.sleep(0.05)
    postgresql.stop()
    time.sleep(seconds)
    postgresql.start()
    until_done(processes, range(2))
    check_all_done(storage, directory, 40, repeated=2)
    assert "does not answer" in (directory.parent / "worker-0.txt").read_text()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    oracle = oracle_of(f"sqlite:///{tmp_path / 'db'}", 3)

    def full(*arguments, **options):
        import sqlalchemy

        raise sqlalchemy.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(oracle, "_claim", full)
    with pytest.raises(WorldError, match="database or disk is full") as error:
        oracle.create_trial("tuner0")
    assert "\n" not in str(error.value)
