"""Processes used once: what they answer, how they end, and what they may use."""

import dataclasses
import os
import signal
import threading
import time

import pytest

from recipes import settings
from recipes.errors import CommandError, WorldError
from recipes.workers import Processes, cores_of, gpus_of
from tests import warm
from tests.recipes.tuning.test_trial import Plain


@pytest.fixture(autouse=True, scope="module")
def _as_users_start_them():
    with warm.cold():
        yield


def results(processes, works, log, cores=(0,), seconds=60):
    """What each work comes to, by its number."""
    cores = sorted(os.sched_getaffinity(0))[:1]
    for number, work in enumerate(works):
        processes.start(number, work, log, cores)
    found, end = {}, time.monotonic() + seconds
    while len(found) < len(works) and time.monotonic() < end:
        found |= {ended.number: ended for ended in processes.ended(1)}
    return found


def test_work_gets_what_is_shared_and_its_answer_comes_back(processes, tmp_path):
    factor = 2  # of a closure, which plain pickle does not take
    found = results(processes, [lambda shared: {"product": shared["factor"] * factor}], tmp_path / "log")
    assert found[0].answer == {"product": 6}
    assert found[0].error is None


def test_each_is_a_process_of_its_own_with_its_cores_threads_and_output(processes, tmp_path):
    def look(shared):
        import tensorflow as tf

        print("hello from the fork")
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        return {"pid": os.getpid(), "cores": len(os.sched_getaffinity(0)), "threads": threads}

    found = results(processes, [look, look], tmp_path / "log")
    assert len({found[i].answer["pid"] for i in (0, 1)} | {os.getpid()}) == 3
    assert [found[i].answer["cores"] for i in (0, 1)] == [1, 1]
    assert [found[i].answer["threads"] for i in (0, 1)] == [1, 1]
    assert (tmp_path / "log").read_text().count("hello from the fork") == 2


def test_keras_trains_in_a_fork(processes, tmp_path):
    def train(shared):
        import keras
        import numpy as np

        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        history = model.fit(np.ones((64, 3)), np.ones(64), epochs=2, verbose=0).history
        return {"first": history["loss"][0], "last": history["loss"][1]}

    found = results(processes, [train], tmp_path / "log")
    assert found[0].error is None
    assert found[0].answer["last"] < found[0].answer["first"]


def test_an_error_is_one_line_and_harms_no_other(processes, tmp_path):
    def mistake(shared):
        raise CommandError("--batch-size must be > 0; it is 0")

    def bug(shared):
        return {"x": {}["missing"]}

    def crash(shared):
        os.kill(os.getpid(), signal.SIGSEGV)

    def leave(shared):
        os._exit(7)

    works = [mistake, bug, crash, leave, lambda shared: {"x": 1}, lambda shared: {"x": object()}]
    found = results(processes, works, tmp_path / "log")
    errors = [found[i].error for i in range(6)]
    assert errors[0] == "--batch-size must be > 0; it is 0"
    assert errors[1] == "KeyError: 'missing'"
    assert errors[2] == f"its process ended with signal {signal.SIGSEGV.value}"
    assert errors[3] == "its process ended with status 7"
    assert errors[4] is None
    assert found[4].answer == {"x": 1}
    assert errors[5] == "TypeError: Object of type object is not JSON serializable"
    assert [found[i].cause for i in range(6)] == ["settings", "bug", "death", "death", None, "bug"]


def test_a_large_answer_comes_back_whole(processes, tmp_path):
    found = results(processes, [lambda shared: {"x": list(range(500_000))}], tmp_path / "log")
    assert found[0].answer == {"x": list(range(500_000))}


def test_a_disk_that_is_full_is_of_the_world_and_the_answer_needs_none(processes, tmp_path):
    """Of a log that cannot be opened, and of one that cannot be written to."""
    (tmp_path / "directory").mkdir()

    assert results(processes, [lambda shared: {"x": 1}], tmp_path / "directory")[0].cause == "world"
    found = results(processes, [lambda shared: {"x": 1}, lambda shared: print("hello")], "/dev/full")
    assert found[0].answer == {"x": 1}
    assert found[1].error == "[Errno 28] No space left on device"
    assert found[1].cause == "world"


def test_one_can_be_killed(processes, tmp_path):
    processes.start(0, lambda shared: time.sleep(600), tmp_path / "log", sorted(os.sched_getaffinity(0)))
    time.sleep(0.2)
    processes.kill(0)
    found = processes.ended(30)
    assert [(each.number, each.error) for each in found] == [(0, "its process ended with signal 9")]


@pytest.mark.slow
def test_all_end_with_the_search(tmp_path):
    def note(shared):
        (tmp_path / "pid").write_text(str(os.getpid()))
        time.sleep(600)

    with Processes() as short:
        short.start(0, note, tmp_path / "log", sorted(os.sched_getaffinity(0)))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.05)
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_the_class_of_a_recipe_arrives_that_no_module_has(processes, tmp_path):
    """As of one that is defined in a notebook, and of a class that it is made of."""

    class Rated(Plain, is_base=True):
        rate: float = settings.number(0.5, "learning rate", above=0)

    class Wide(Rated):
        """A recipe that is defined here."""

        width: int = settings.whole(3, "units", most=9)
        rate = 0.25
        presets = {"smoke": {"epochs": 1}, "wide": {"width": 9}}

        def summary(self, result):
            return f"{super().summary(result)} Width {self.width}."

    recipe = Wide(width=5)

    def look(shared):
        cls = type(recipe)
        try:
            cls(width=10)
        except CommandError as error:
            said = str(error)
        return {
            "name": cls.name(),
            "about": cls.__doc__,
            "settings": dataclasses.asdict(recipe),
            "wide": dataclasses.asdict(cls.from_preset("wide")),
            "help": cls.settings()["rate"].described,
            "summary": recipe.summary({"distance": 1.0}),
            "wrong": said,
        }

    answer = results(processes, [look], tmp_path / "log")[0].answer
    assert answer == look(None)
    assert (answer["settings"]["width"], answer["settings"]["rate"], answer["wide"]["width"]) == (5, 0.25, 9)
    assert answer["wrong"] == "--width must be a whole number from 1 to 9; it is 10"


def test_what_cannot_be_sent_is_one_clear_error():
    with pytest.raises(WorldError, match="cannot be sent"):
        Processes(threading.Lock())


def test_memory_does_not_grow(processes, tmp_path):
    """After 30 forks that took 50 MB each, the process they are forks of is what it was."""
    server = processes._server.pid

    def use(shared):
        return {"size": float(len(bytearray(50_000_000)))}

    results(processes, [use], tmp_path / "log")
    before = resident(server)
    results(processes, [use] * 30, tmp_path / "log")
    assert resident(server) - before < 5_000_000


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3, 8})
    assert cores_of(1) == [(0, 1, 2, 3, 8)]
    assert cores_of(2) == [(0, 2, 8), (1, 3)]
    assert cores_of(6) == [(0,), (1,), (2,), (3,), (8,), (0,)]


@pytest.mark.parametrize(
    ("visible", "workers", "shared_out"),
    [
        ("0,1,2", 1, [("0", "1", "2")]),
        ("0,1,2", 2, [("0", "2"), ("1",)]),
        ("GPU-a,GPU-b", 3, [("GPU-a",), ("GPU-b",), ("GPU-a",)]),
        ("-1", 2, [None, None]),
        ("", 2, [None, None]),
    ],
)
def test_gpus_are_shared_out(monkeypatch, visible, workers, shared_out):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of(workers) == shared_out
