"""Is every trial of a search completed, and once, whatever is killed? 20 × SIGKILL at random moments, and an outage.

Two `tune` commands share a search of 60 trials in one database, each with a run directory of its own, as two machines
would. At random moments a command is killed, or both, or the process that its trials are forks of, or a trial; a
command that has ended is given again. At the end the trials and their scores are compared with those of a search that
nobody disturbed. Then a database that both search in is stopped for 30 seconds.

    python -m benchmarks.search_kills        # half an hour; PostgreSQL, started as root
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import optuna

from benchmarks.postgresql import PostgreSQL
from benchmarks.record import write
from recipes.tuning.storage import sqlite_url

KILLS, TRIALS, OUTAGE = 20, 60, 30
SECONDS = (2.0, 12.0)  # between two kills; a command begins its first trial after five to ten
VICTIMS = ("command", "command", "both", "server", "trial", "trial")
SEARCH = [
    *("tune", "linear_regression", "--tuner", "random", "--trials", str(TRIALS), "--max-epochs", "800"),
    *("--space", "learning_rate=0.05:0.9,momentum=0.0|0.5|0.9", "--strategy", "cpu"),
]


class Machine:
    """A `tune` command with a run directory of its own, given again whenever it has ended unfinished."""

    def __init__(self, directory, storage):
        self.directory, self.storage, self.process = directory, storage, None

    def start(self):
        options = ["--storage", self.storage, "--run-dir", str(self.directory)]
        with open(self.directory.with_suffix(".txt"), "a") as log:
            command = [sys.executable, "-m", "recipes", *SEARCH, *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def is_done(self):
        """Whether it has ended with status 0."""
        return self.process is not None and self.process.poll() == 0

    def processes(self, generation):
        """Pids of the process that trials are forks of (1), or of the trials (2)."""
        found = [self.process.pid]
        for _ in range(generation):
            found = [child for pid in found for child in children(pid)]
        return found

    def begun(self):
        """How often each trial was begun here."""
        paths = self.directory.glob("trials/*/environment.json")
        return {path.parent.name: len(json.loads(path.read_text())["starts"]) for path in paths}


def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(machines, victim, generator):
    """SIGKILL: what was killed, and how many trials ran on it; None if there was nothing to kill."""
    chosen = generator.choice(machines)
    running = sum(len(each.processes(2)) for each in (machines if victim == "both" else [chosen]))
    pids = {
        "command": [chosen.process.pid],
        "both": [each.process.pid for each in machines],
        "server": chosen.processes(1),
        "trial": chosen.processes(2),
    }[victim]
    killed = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return {"victim": victim, "trials_running": running} if killed else None


def found(storage):
    """State and score of all trials of the study, by our ids."""
    study = optuna.load_study(
        study_name="linear_regression", storage=storage.replace("postgresql:", "postgresql+psycopg:")
    )
    return [(trial.user_attrs["trial_id"], trial.state.name, trial.value) for trial in study.trials]


def searched(directory, storage, count=2):
    machines = [Machine(directory / f"machine-{number}", storage) for number in range(count)]
    for each in machines:
        each.start()
    return machines


def until_done(machines):
    for each in machines:
        while not each.is_done():
            if each.process.poll() is not None:
                each.start()
            time.sleep(0.2)


def summary(machines, storage, undisturbed):
    trials = found(storage)
    begun = sum(sum(each.begun().values()) for each in machines)
    return {
        "trials": TRIALS,
        "completed": sum(state == "COMPLETE" for _, state, _ in trials),
        "ids": len({trial for trial, _, _ in trials}),
        "in_the_study": len(trials),
        "begun": begun,
        "same_scores_as_undisturbed": sorted(trials) == sorted(undisturbed),
    }


def disturbed(directory, storage, undisturbed):
    """A search in which 20 processes are killed."""
    generator, kills = random.Random(0), []
    machines = searched(directory, storage)
    while len(kills) < KILLS:
        end = time.monotonic() + generator.uniform(*SECONDS)
        while time.monotonic() < end:
            for each in machines:
                if each.process.poll() is not None:
                    each.start()
            time.sleep(0.1)
        victim = generator.choice(VICTIMS)
        killed = kill(machines, victim, generator)
        if killed is not None:
            done = sum(state == "COMPLETE" for _, state, _ in found(storage))
            kills.append({**killed, "trials_completed": done})
            print(f"kill {len(kills)}: {kills[-1]}", flush=True)
    until_done(machines)
    return {"kills": kills, **summary(machines, storage, undisturbed)}


def outage(directory, server, undisturbed):
    """A search whose database is not there for a while."""
    storage = server.new("outage")
    machines = searched(directory, storage)
    while sum(bool(each.begun()) for each in machines) < 2:
        time.sleep(0.2)
    server.stop()
    time.sleep(OUTAGE)
    server.start()
    until_done(machines)
    return {"seconds": OUTAGE, **summary(machines, storage, undisturbed)}


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    server = PostgreSQL()
    with tempfile.TemporaryDirectory() as scratch, contextlib.closing(server):
        places = {name: pathlib.Path(scratch, name) for name in ("undisturbed", "sqlite", "postgresql", "outage")}
        for each in places.values():
            each.mkdir()
        storage = sqlite_url(places["undisturbed"] / "search.db")
        until_done(searched(places["undisturbed"], storage, count=1))
        undisturbed = found(storage)
        results = {
            "outage": outage(places["outage"], server, undisturbed),
            "sqlite": disturbed(places["sqlite"], sqlite_url(places["sqlite"] / "search.db"), undisturbed),
            "postgresql": disturbed(places["postgresql"], server.new("kills"), undisturbed),
        }
    print(json.dumps(results, indent=2))
    write("search_kills", results)
    for each in results.values():
        assert each["completed"] == each["ids"] == each["in_the_study"] == TRIALS
        assert each["same_scores_as_undisturbed"]
        kills = each.get("kills", [])
        assert each["begun"] <= TRIALS + sum(kill["trials_running"] for kill in kills)  # no more work than was killed
        assert all(kill["trials_completed"] < TRIALS for kill in kills)


if __name__ == "__main__":
    main()
