"""Whatever is typed, and whatever a file holds, the answer is a result or one line that was meant.

Command lines and the files of runs, searches, comparisons, archives, images and records are drawn by hypothesis: 500
cases here, FUZZ_CASES of them by `make fuzz`. After each, what a run holds is still there, nothing outside of it has
changed, and no code of a file has run.
"""

import base64
import contextlib
import copy
import importlib
import io
import itertools
import json
import marshal
import math
import os
import pathlib
import pickle
import re
import resource
import shutil
import signal
import sqlite3
import tarfile
import typing
import zipfile

import keras
import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recipes import commands, training, workers
from recipes.__main__ import main
from recipes.cifar10_cnn import Cifar10CNN
from recipes.data import cifar10_archive
from recipes.errors import CommandError
from recipes.find import find, names
from recipes.gan import classifier
from recipes.settings.fields import option_of
from recipes.workers.requests import Ended
from tests.recipes.data.prepared import prepare
from tests.recipes.gan.inception_graph import graph

CASES = int(os.environ.get("FUZZ_CASES", "500"))
SHARES = {"command lines": 0.73, "files": 0.16, "archives": 0.05, "images": 0.03, "records": 0.03}
UNFORESEEN = "KERAS_DESCENT_TRACEBACK"  # in the line of an error that no code expected
LONGEST = 120  # seconds of a case
LARGEST = 2 * 2**20  # KiB, by which a case may raise the peak of memory
PWNED = "../outside/pwned"  # from the directory that commands are given in: made by code of a file that runs


def cases(name):
    return settings(
        max_examples=math.ceil(SHARES[name] * CASES),
        deadline=None,
        database=None,
        derandomize=CASES <= 500,
        suppress_health_check=list(HealthCheck),
    )


class World:
    """A directory with runs in one place and, beside it, what nothing may touch."""

    def __init__(self, root):
        self.root, self.inside, self.outside = root, root / "inside", root / "outside"
        self.inside.mkdir()
        self.outside.mkdir()
        (self.outside / "secret.txt").write_text("secret")
        PIL.Image.new("RGB", (9, 9)).save(self.inside / "photo.png")
        self.check()

    def check(self):
        assert sorted(path.name for path in self.root.iterdir()) == ["inside", "outside"]
        assert [path.name for path in self.outside.iterdir()] == ["secret.txt"]
        assert (self.outside / "secret.txt").read_text() == "secret"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("fuzz"))


class Hang(BaseException):
    """A case that takes too long; nothing that a command catches."""


class Said(io.TextIOWrapper):
    """A stream like those of `python -m recipes`, for which bytes of paths that are no text are no error."""

    def __init__(self):
        super().__init__(io.BytesIO(), "utf-8", errors="replace", write_through=True)

    def text(self):
        return self.buffer.getvalue().decode()


def _hang(number, frame):
    raise Hang


@pytest.fixture
def answered(world, monkeypatch):
    """A function that carries out a command line in the world, and checks what came of it."""
    monkeypatch.chdir(world.inside)
    before = signal.signal(signal.SIGALRM, _hang)

    def carried_out(*words):
        words, said = [str(word) for word in words], Said()
        keras.utils.clear_session(free_memory=False)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(LONGEST)
        try:
            with contextlib.redirect_stdout(Said()), contextlib.redirect_stderr(said):
                status = main(words)
        except SystemExit as leaving:  # --help
            status = leaving.code
        finally:
            signal.alarm(0)
        check_answer(words, status, said.text())
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < LARGEST, words
        world.check()
        return status

    yield carried_out
    signal.signal(signal.SIGALRM, before)


def check_answer(words, status, said):
    assert status in (0, 1, 2), words
    assert "Traceback" not in said, (words, said)
    assert UNFORESEEN not in said, (words, said)
    lines = [line for line in said.splitlines() if line.startswith("recipes: ")]
    assert len(lines) == (status != 0), (words, said)


HOSTILE = (
    *("", " ", "-", "--", "0", "-1", "1e309", "nan", "inf", "1e-400", "99999999999999999999", "\0", "\n", "../../etc"),
    *("/dev/null", "~", "$(touch x)", "%s%n", "{}", "a" * 5000, "é𝄞", "\udcff", "digits", "cifar10", "tfds:"),
    *("tfds:../x", "folder:", "folder:/dev", "none", "cosine", "cosine:", "cosine:warmup=", "linear:warmup=2"),
    *("join:", "agc:-1", "agc:0.01+", "+", ":=", "@", "sgd@", "a:=b", "epochs=", "updates=-1", "seconds=nan"),
    *("mirrored:0", "mirrored:9999", "sqlite:///", "postgresql://", "1", "2", "true", "null", "runs", "whole/line"),
    *("whole/cnn", "whole/gan", "whole/search", "whole/compare", "photo.png", "grid.png"),
)
RECIPES = (
    *names(),
    *("nothing", "recipes.linear_regression:LinearRegression", "recipes.recipe:Recipe", "os:path", "nothing:Nothing"),
)
COMMANDS = (
    *("list", "show", "train", "tune", "compare", "evaluate", "predict", "generate", "export", "prepare", "report"),
    "nothing",
)
FILES = sorted(pathlib.Path(commands.__file__).parent.glob("*.py"))
OPTIONS = sorted(
    {option_of(setting) for name in names() for setting in find(name).settings()}
    | {option for path in FILES for option in re.findall(r'"(--[a-z-]+)"', path.read_text())}
)
numbers = st.one_of(st.floats(), st.integers()).map(str)
values = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8), numbers, st.sampled_from(OPTIONS))
words = st.one_of(
    st.sampled_from(OPTIONS).map(lambda option: [option]),
    st.tuples(st.sampled_from(OPTIONS), values).map(list),
    st.tuples(st.sampled_from(OPTIONS), values).map(lambda pair: ["=".join(pair)]),
    values.map(lambda value: [value]),
)


def ends(*given, **named):
    raise CommandError("that would compute")


@pytest.fixture
def nothing_runs(monkeypatch):
    """Commands are understood and their settings resolved; what would compute for long ends there."""
    for name in ("train", "train_seeds", "dry_run"):
        monkeypatch.setattr(training, name, ends)
    for module, name in (("tuning.tune", "_searched"), ("comparison.compare", "_compared")):
        monkeypatch.setattr(importlib.import_module(f"recipes.{module}"), name, ends)


@cases("command lines")
@given(st.sampled_from(COMMANDS), st.sampled_from(RECIPES), st.lists(words, max_size=5))
def test_command_lines(nothing_runs, answered, command, recipe, rest):
    named = [recipe] * (command in ("show", "train", "tune", "compare"))
    answered(command, *named, *itertools.chain(*rest))


VALUES = (
    *(None, True, 0, -1, 2**70, 1.5, math.nan, math.inf, "", "../../outside/secret.txt", "/etc/passwd", "a" * 3000),
    *([], [[]], {}, {"a": 1}, "<script>alert(1)</script>", "cifar10", "digits", "{{ 7 * 7 }}", "os.system", "\udcff"),
)
CODE = base64.b64encode(marshal.dumps((lambda x: __import__("os").mkdir("../outside/pwned")).__code__)).decode()
OBJECTS = (  # of Keras's files
    {"module": "os", "class_name": "mkdir", "config": PWNED, "registered_name": "os>mkdir"},
    {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"},
    {"class_name": "__lambda__", "config": {"value": CODE, "defaults": None, "closure": None}},
    {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "x", "function": {"class_name": "__lambda__", "config": {"code": CODE}}},
    },
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "../outside", "name": "x"}},
    {"module": "keras.utils", "class_name": "get_file", "config": {"fname": "pwned", "origin": "file:///etc/passwd"}},
    {"module": "keras.layers", "class_name": "Dense", "config": {"units": 10**14}},
)


def places(value, path=()):
    """Paths of everything in a structure of JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from places(each, (*path, key))


def at(value, path):
    """What is at one place of a structure."""
    for key in path:
        value = value[key]
    return value


def with_value(value, path, new):
    """The same structure with something else at one place, or nothing for `ends`."""
    if not path:
        return new
    value = copy.copy(value)
    key, *rest = path
    if not rest and new is ends:
        del value[key]
    else:
        value[key] = with_value(value[key], rest, new) if rest else new
    return value


@st.composite
def other_json(draw, content):
    """The same structure with one value changed, left out or added."""
    found = json.loads(content)
    kind = draw(st.sampled_from(("changed", "changed", "object", "gone", "added")))
    path = draw(st.sampled_from(list(places(found))))
    new = draw(st.sampled_from(OBJECTS if kind == "object" else VALUES))
    if kind == "added" and isinstance(at(found, path), dict):
        path = (*path, draw(st.sampled_from(("kind", "seeds", "tuner", "contenders", "judged_on", "x"))))
    found = with_value(found, path, ends if kind == "gone" and path else new)
    return json.dumps(found).encode()


@st.composite
def other_bytes(draw, content):
    """Cut off, with bytes changed or added, or something else."""
    kind = draw(st.sampled_from(("cut", "changed", "added", "empty", "text", "zeros", "twice", "deep")))
    place = draw(st.integers(0, max(0, len(content) - 1)))
    new = draw(st.binary(min_size=1, max_size=20))
    return {
        "cut": content[:place],
        "changed": content[:place] + new + content[place + len(new) :],
        "added": content[:place] + new + content[place:],
        "empty": b"",
        "text": b"hello, world\n",
        "zeros": bytes(len(content)),
        "twice": content * 2,
        "deep": b"[" * 100_000,
    }[kind]


class Pwned:
    """What a pickle would do if it could."""

    def __reduce__(self):
        return os.mkdir, (PWNED,)


def array_file(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


PICKLED = np.array([Pwned()], dtype=object)
ARRAYS = (
    *(PICKLED, np.zeros(0), np.zeros((2, 3, 4, 5, 6)), np.array("text"), np.array(math.nan), np.full(24, 2**62)),
    *(np.full(24, -1), np.zeros((10, 10)), np.ones((3, 3), "int64"), np.zeros((24, 8, 8, 3), "uint8")),
)
HUGE = array_file(np.zeros(1)).replace(b"(1,), }" + b" " * 12, b"(1000000000000,), }")


@st.composite
def other_zip(draw, content):
    """A .keras or .npz file with a member changed, left out, added, or that would leave the directory."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    kind = draw(st.sampled_from(("changed", "inside", "inside", "gone", "parent", "absolute", "pickled", "bomb")))
    packed = zipfile.ZIP_STORED
    if kind == "changed":
        members[name] = draw(other_bytes(members[name]))
    elif kind == "inside" and name.endswith(".npy"):
        members[name] = draw(st.sampled_from((*map(array_file, ARRAYS), HUGE)))
    elif kind == "inside":
        name = draw(st.sampled_from([each for each in members if each.endswith(".json")]))
        members[name] = draw(other_json(members[name]))
    elif kind == "gone":
        del members[name]
    elif kind == "parent":
        members["../../outside/evil"] = members["assets/../../../outside/evil"] = b"evil"
    elif kind == "absolute":
        members[os.path.abspath("../outside/evil")] = b"evil"
    elif kind == "bomb":
        members[name], packed = bytes(2**25), zipfile.ZIP_DEFLATED
    else:
        members[name] = array_file(PICKLED) if name.endswith(".npy") else pickle.dumps(Pwned())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as file:
        for each, value in members.items():
            file.writestr(each, value)
    return out.getvalue()


@st.composite
def other_table(draw, content):
    """A CSV file with a cell changed, or a column or a row left out."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    row, column = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(rows[0]) - 1))
    kind = draw(st.sampled_from(("cell", "cell", "row", "column", "rows")))
    if kind == "cell":
        rows[row][min(column, len(rows[row]) - 1)] = draw(
            st.sampled_from(("", "x", "nan", "-1", "1e999", '"', "\0", "9" * 400, "<b>", "a" * 200_000))
        )
    elif kind == "row":
        del rows[row]
    elif kind == "column":
        rows = [line[:column] + line[column + 1 :] for line in rows]
    else:
        rows = rows[:1]
    return "\n".join(map(",".join, rows)).encode()


@st.composite
def other_database(draw, content):
    """An SQLite file with a cell changed, or the rows of a table or the table left out."""
    database = sqlite3.connect(":memory:")
    database.deserialize(content)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = draw(st.sampled_from(sorted(name for name in tables if not name.startswith("sqlite"))))
    rows = database.execute(f"SELECT rowid, * FROM {table}").fetchall()
    kind = draw(st.sampled_from(("cell", "cell", "cell", "rows", "table")))
    if kind == "table":
        database.execute(f"DROP TABLE {table}")
    elif kind == "rows":
        database.execute(f"DELETE FROM {table}")
    elif rows:
        columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
        column = draw(st.sampled_from(columns))
        row = draw(st.sampled_from(rows))
        texts = ["", "x", "null", "[]", "{}", "-1", '"x"', "NaN", "[[1]]", '{"space": 1}', "9" * 30]
        with contextlib.suppress(TypeError, ValueError):
            json.loads(row[1 + columns.index(column)])
            texts = [draw(other_json(row[1 + columns.index(column)])).decode()]
        new = draw(st.sampled_from((None, -1, 2**40, 0.5, b"\0", *texts, *texts)))
        with contextlib.suppress(sqlite3.IntegrityError):  # a text as the number of a row
            database.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (new, row[0]))
    database.commit()
    return bytes(database.serialize())


OTHERS = {
    ".json": other_json,
    ".keras": other_zip,
    ".npz": other_zip,
    ".csv": other_table,
    ".db": other_database,
}


class Reader(typing.NamedTuple):
    """A command that reads files of a run: RUN is its directory.

    What it `writes` may be there afterwards, and nothing else may have changed; that of a training may have, if
    nothing is wrong.
    """

    of: str
    words: str
    files: str
    writes: str = ""
    share: int = 1


TUNE = "tune linear_regression --tuner random --trials 2 --max-epochs 4 --space learning_rate=0.05:0.9 --strategy cpu"
COMPARE = "compare linear_regression --optimizers batch_gd,adam --budget epochs=3 --trials 1 --seeds 2 --strategy cpu"
TRAIN = "train linear_regression --preset smoke"
GAN = "train cifar10_gan --preset smoke --epochs 1 --width 8 --discriminator-width 8 --latent-size 8"
CNN = "train cifar10_cnn --preset smoke --epochs 1 --variant basic"
SEEDS = f"{TRAIN} --seeds 2 --results RUN/results"
READERS = (
    Reader("line", "evaluate RUN", "config.json result.json", share=2),
    Reader("line", "evaluate RUN --json", "model.keras", share=8),
    Reader("line", "report RUN", "config.json result.json metrics.csv environment.json", "report.html", 3),
    Reader("line", f"{TRAIN} --run-dir RUN", "config.json result.json environment.json", "*", 4),
    Reader("line", f"{TRAIN} --epochs 6 --run-dir RUN", "*.json state.npz *.csv", "*", 6),
    Reader("line", "predict RUN photo.png", "config.json"),
    Reader("line", "export RUN --format onnx", "config.json exported.json model.keras", "exported.json"),
    Reader("cnn", "evaluate RUN", "config.json result.json model.keras"),
    Reader("cnn", "predict RUN photo.png", "config.json result.json model.keras"),
    Reader("cnn", "report RUN", "config.json result.json confusion.npz metrics.csv environment.json", "report.html"),
    Reader("cnn", "report RUN", "confusion.npz", "report.html", 3),
    Reader("cnn", f"{CNN} --run-dir RUN", "config.json result.json environment.json state.npz", "*", 2),
    Reader("cnn", "export RUN --format saved_model", "config.json model.keras", "exported.json"),
    Reader("gan", "evaluate RUN", "classifier.keras config.json model.keras"),
    Reader("gan", "evaluate RUN --generated 2 --inception RUN/inception.pb", "inception.pb", share=3),
    Reader("gan", "evaluate RUN --generated 2 --inception RUN/inception.h5", "inception.h5"),
    Reader("gan", "generate RUN --n 4 --out RUN/grid.png", "config.json result.json model.keras", "grid.png", 2),
    Reader("gan", "report RUN", "config.json result.json metrics.csv samples/*.png", "report.html", 2),
    Reader("gan", f"{GAN} --run-dir RUN", "*.json state.npz classifier.keras best.keras", "*"),
    Reader("search", "report RUN", "*.json trials.csv rates.png", "report.html", 4),
    Reader("search", f"{TUNE} --run-dir RUN", "search.db *.json trials/*/*.json trials/*/state.npz", "*", 2),
    Reader("search", f"{TUNE} --run-dir RUN", "search.db", "*", 4),
    Reader("compare", "report RUN", "*.json comparison.png", "report.html", 4),
    Reader("compare", f"{COMPARE} --run-dir RUN", "search.db *.json */seed-1/*.json */seed-1/*.csv", "*", 3),
    Reader("compare", f"{COMPARE} --run-dir RUN", "search.db", "*", 3),
    Reader("seeds", f"{SEEDS} --run-dir RUN", "*.json seed-0/*.json seed-0/state.npz results/*.csv", "*", 4),
)
CHOSEN = [reader for reader in READERS for _ in range(reader.share)]


class Here:
    """`Processes`, but all trials run in this process, one after the other; or none does."""

    trains = True

    def __init__(self, shared, *given):
        self.shared, self.waiting = shared, []
        self.shared.hand_over = lambda data: None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def call(self, function, cores=None):
        return function(self.shared)

    share = call

    def start(self, number, work, log, cores, gpus=None):
        if not self.trains:
            ends()
        self.waiting.append(Ended(number, work(self.shared)))

    def kill(self, number):
        pass

    def ended(self, timeout):
        found, self.waiting = self.waiting, []
        return found


def make(directory, command):
    """What a command leaves in a directory that is not there yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "Processes", Here)
        patch.setattr(classifier, "_fit", lambda *given: None)  # an untrained one judges as well
        words = [word.replace("RUN", str(directory)) for word in f"{command} --run-dir RUN".split()]
        assert main(words) == 0, words


@pytest.fixture(scope="module")
def classifies(world):
    """The run that images are given to."""
    make(world.inside / "whole" / "cnn", CNN)
    return world.inside / "whole" / "cnn"


@pytest.fixture(scope="module")
def runs(world, classifies):
    """What each kind of reader reads, made once."""
    made = classifies.parent
    for name, command in {"line": TRAIN, "gan": GAN, "search": TUNE, "compare": COMPARE, "seeds": SEEDS}.items():
        make(made / name, command)
    graph(made / "gan" / "inception.pb")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save_weights(made / "gan" / "inception.weights.h5")
    (made / "gan" / "inception.weights.h5").rename(made / "gan" / "inception.h5")
    return made


@pytest.fixture
def little_computes(monkeypatch):
    """Readers read, and go on to what they compute, but for what takes seconds."""
    monkeypatch.setattr(workers, "Processes", Here)
    monkeypatch.setattr(Here, "trains", False)
    monkeypatch.setattr("recipes.commands.export._written", ends)


class Content(bytes):
    """What is not printed in full."""

    def __repr__(self):
        return f"{len(self)} bytes, {bytes(self[:60])!r}"


@st.composite
def other_file(draw, content, ending):
    kinds = [other_bytes] + [OTHERS[ending]] * 3 if ending in OTHERS else [other_bytes]
    return Content(draw(draw(st.sampled_from(kinds))(content)))


def spoil(data, path, world, endless=True):
    """Put something else in the place of a file, or what can be read for ever."""
    kinds = ("gone", "link", "directory", "link to a directory", *(("pipe", "zeros") if endless else ()))
    kind = data.draw(st.sampled_from(("other",) * 12 + kinds))
    content = path.read_bytes()
    if kind == "other":
        path.write_bytes(data.draw(other_file(content, path.suffix)))
        return
    path.unlink()
    if kind == "link":
        path.symlink_to(world.outside / "secret.txt")
    elif kind == "directory":
        path.mkdir()
    elif kind == "link to a directory":
        path.symlink_to(world.outside)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")


def link_a_directory(data, run, world):
    """Put a link out of the run in the place of one of its directories, if it has any."""
    found = sorted(path for path in run.rglob("*") if path.is_dir() and not path.is_symlink())
    found = [path for path in found if path.name != "results"]  # `--results` names it: a link leads where it should
    if found:
        path = data.draw(st.sampled_from(found))
        shutil.rmtree(path)
        path.symlink_to(world.outside)


def seen(directory):
    """What would show that a file has been written, by its path."""
    found = {}
    for path in directory.rglob("*"):
        if path.name != ".lock" and (path.is_symlink() or not path.is_dir()):
            status = path.lstat()
            found[str(path.relative_to(directory))] = status.st_ino, status.st_size, status.st_mtime_ns
    return found


def check_kept(reader, status, before, after):
    lost = before.keys() - after.keys()
    assert not lost, (reader, lost)
    if reader.writes == "*":
        return
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= ({reader.writes} if status == 0 else set()), (reader, changed)


@pytest.mark.slow
@cases("files")
@given(st.data())
def test_files(world, runs, answered, little_computes, data):
    reader = data.draw(st.sampled_from(CHOSEN))
    run = world.inside / "changed"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(runs / reader.of, run)
    files = sorted(path for pattern in reader.files.split() for path in run.glob(pattern) if path.is_file())
    for path in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=2, unique=True)):
        spoil(data, path, world, path.suffix in (".json", ".csv", ".npz"))
    if data.draw(st.integers(0, 7)) == 0:
        link_a_directory(data, run, world)
    before = seen(run)
    status = answered(*(word.replace("RUN", str(run)) for word in reader.words.split()))
    check_kept(reader, status, before, seen(run))


@st.composite
def archives(draw):
    """Archives like CIFAR-10's, with members that lead elsewhere, links, devices, or other bytes."""
    rows = np.zeros((cifar10_archive.ROWS, cifar10_archive.ROW), np.uint8).tobytes()
    names = [f"{cifar10_archive.FOLDER}/{name}" for name in cifar10_archive.BATCHES]
    labels = b"".join(b"class%d\n" % i for i in range(10))
    members = [(name, rows) for name in names] + [(f"{cifar10_archive.FOLDER}/batches.meta.txt", labels)]
    out = io.BytesIO()
    kinds = ("as it is",) * 12 + ("gone", "parent", "absolute", "link", "hard link", "device", "other")
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            kind = draw(st.sampled_from(kinds))
            if kind == "gone":
                continue
            member.name = {"parent": f"../../outside/{name}", "absolute": f"/tmp/{name}"}.get(kind, name)
            types = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
            member.type, member.linkname = types.get(kind, tarfile.REGTYPE), "../../outside/secret.txt"
            content = draw(other_bytes(content)) if kind == "other" else content
            member.size = len(content) if kind not in types else 0
            tar.addfile(member, io.BytesIO(content) if member.size else None)
    return Content(draw(st.one_of(st.just(out.getvalue()), other_bytes(out.getvalue()))))


@cases("archives")
@given(archives())
def test_archives(world, answered, content):
    shutil.rmtree(world.inside / "prepared", ignore_errors=True)
    path = world.inside / "cifar-10-binary.tar.gz"
    path.write_bytes(content)
    answered("prepare", "cifar10", "--archive", path, "--unverified", "--data-dir", world.inside / "prepared")
    assert path.read_bytes() == content


@pytest.fixture(autouse=True)
def small_archives(monkeypatch):
    monkeypatch.setattr(cifar10_archive, "ROWS", 20)


def picture(kind):
    out = io.BytesIO()
    PIL.Image.effect_noise((12, 12), 50).convert("RGB").save(out, kind)
    return out.getvalue()


PICTURES = {kind: picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")}


@pytest.fixture
def nothing_trains(monkeypatch):
    """Images are read, and that is all."""
    monkeypatch.setattr(Cifar10CNN, "model", ends)


READ = ("train", "cifar10_cnn", "--preset", "smoke", "--train-images", "4", "--dry-run")


@cases("images")
@given(st.data())
def test_images(world, classifies, answered, nothing_trains, data):
    """One of eight photos is damaged, or is something else; all of them are trained on, or that one is named."""
    photos = world.inside / "photos"
    shutil.rmtree(photos, ignore_errors=True)
    for i in range(8):
        path = photos / ("cat", "dog")[i % 2]
        path.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (12, 12), (i, 0, 0)).save(path / f"{i}.png")
    kind = data.draw(st.sampled_from(sorted(PICTURES)))
    (photos / "cat" / "0.png").write_bytes(PICTURES[kind])
    spoil(data, photos / "cat" / "0.png", world)
    if data.draw(st.booleans()):
        answered(*READ, "--data", f"folder:{photos}")
    else:
        answered("predict", classifies, photos / "cat" / "0.png")


@pytest.fixture(scope="module")
def records(world):
    prepare(world.inside / "tfds", "little", (9, 9, 3), {"train": 16, "test": 4})
    return world.inside / "tfds"


@cases("records")
@given(st.data())
def test_records(world, records, answered, nothing_trains, data):
    directory = world.inside / "other"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(records, directory)
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.suffix != ".npy")
    spoil(data, data.draw(st.sampled_from(files)), world)
    answered(*READ, "--data", "tfds:little", "--data-dir", directory)
