import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import stat
import sys
import time

from recipes.errors import CommandError, WorldError, one_line
from recipes.machine.environment import environment, machine, versions
from recipes.machine.regular_file import open_regular
from recipes.run.json_text import text_of

GROWS = ("epochs", "seeds", "trials")  # what may be raised on a run that exists: it goes on
APPENDED = (".lock", ".txt", ".db", ".db-journal", ".db-wal", ".db-shm")  # endings of files that are not replaced
OPEN = {"strategy": ("auto",), "dtype": ("auto", "probe")}  # what stands for anything until `settle`


class Run:
    """The directory of one execution of a recipe.

    ```text
    config.json        every setting, resolved; the classes and the hash of the images
    environment.json   hardware and versions, of every start
    metrics.csv        a row an epoch, the same in every repetition        timing.csv  its wall-clock time
    state.npz          everything that training needs to go on after the last epoch that was saved
    tensorboard/       the same for TensorBoard
    curves.png  model.keras  result.json        when it is done
    confusion.npz                               of classifiers: what test images are taken for, the surest mistakes
    report.html  model_card.md                  a page of all this for a browser, and a card for hubs
    ```

    Every file is written whole or not at all. The same settings on the same directory go on where the last process
    ended, however it ended; on a run that is done they give its result.

    Args:
        recipe: str, name of the recipe.
        settings: its dataclass of settings.
        directory: by default the newest under runs/RECIPE that has the same settings and is not done, or else
            runs/RECIPE/DATE-TIME.
        extra: dict of what else decides the result, kept in config.json.
        patience: float, seconds to wait for another process that is at work in the directory, such as one that ends.

    Raises:
        CommandError: the directory has a run with other settings.
        WorldError: it has something else, or cannot be read.
    """

    def __init__(self, recipe, settings, directory=None, extra=None, patience=0.0):
        self.settings = settings
        self.config = {"recipe": recipe, **dataclasses.asdict(settings), **(extra or {})}
        self._lock, self._patience = None, patience
        self.directory = pathlib.Path(directory) if directory else self._unfinished() or self._fresh()
        self._check(self._recorded())

    @property
    def result(self):
        """The result of the run, or None while it is not done."""
        recorded = read_json(self.directory / "result.json")
        if recorded is None or recorded.get("of") != self._size():
            return None
        return recorded

    @property
    def is_raised(self):
        """Whether the run was begun with fewer epochs."""
        before = (read_json(self.directory / "config.json") or self.config)["epochs"]
        return before < self.config["epochs"]

    def __enter__(self):
        if self.result is None and (self.directory / "config.json").exists():
            self._take_lock()
        return self

    def __exit__(self, *exception):
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def recorded(self, name):
        """What the run was begun with, None if it was not begun."""
        return (read_json(self.directory / "config.json") or {}).get(name)

    def settle(self, **found):
        """Set what `auto` and `probe` stand for on this machine, and check that the run was begun with it."""
        self.config |= found
        self._check(self._recorded())

    def begin(self, data):
        """Make the directory, and write down what the run is made of. Nothing is written before.

        Args:
            data: dict about the data; what is in `data["digest"]` has to stay what it was.
        """
        recorded = self._claim()
        before = (recorded or {}).get("trained_on", data)
        if not isinstance(before, dict) or before.get("digest") != data["digest"]:
            raise WorldError(f"{self.directory} was begun on other images than those of {data['name']} now")
        self.write_json("config.json", {**self.config, "trained_on": data})
        self._record_start(environment())

    def begin_group(self):
        """The same for the directory of several runs, which has no data of its own."""
        self._claim()
        self.write_json("config.json", self.config)
        self._record_start({"machine": machine(), "versions": versions()})  # devices are left to the runs

    def epochs_done(self):
        """Number of epochs that the run need not make again."""
        from callbacks.exact_resume import StateError, read_state

        path = self.directory / "state.npz"
        try:
            return len(read_state(path)[0]["history"]) if path.exists() else 0
        except StateError as error:
            raise WorldError(str(error)) from error

    def callbacks(self, seed, carry=(), follows=()):
        """Callbacks for `fit` that record the run. Put them last."""
        from recipes.run.event_files import EventFiles
        from recipes.run.recorder import Recorder

        return [EventFiles(self.directory / "tensorboard"), Recorder(self.directory, seed, carry, follows)]

    def save(self, model, title):
        """Save the trained model and the picture of its learning curves."""
        from recipes.report import curves

        self.write("model.keras", model.save)
        self.write("curves.png", curves(self.directory / "metrics.csv", title).savefig)

    def finish(self, result):
        """Write the result, last of all; from then on the run is done."""
        self.write_json("result.json", {**result, "of": self._size()})

    def write_json(self, name, content):
        self.write(name, lambda part: part.write_text(text_of(content) + "\n"))

    def write(self, name, write):
        """Write a file whole or not at all, as `callbacks.write_whole` does."""
        from callbacks.write_whole import write_whole

        try:
            write_whole(self.directory / name, write)
        except OSError as error:
            raise WorldError(f"cannot write {self.directory / name}: {error.strerror or error}") from error

    def _claim(self):
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorldError(f"no run directory at {self.directory}: {error.strerror}") from error
        self._take_lock()
        recorded = self._recorded()
        self._check(recorded)  # another process may have been here since
        for part in filter(_is_part, self.directory.iterdir()):  # of a process that was killed while it wrote
            part.unlink()
        return recorded

    def _size(self):
        return {name: self.config[name] for name in GROWS if name in self.config}

    def _recorded(self):
        recorded = read_json(self.directory / "config.json")
        if recorded is not None and self.config.keys() - recorded.keys() - {"seeds"}:
            raise WorldError(f"{self.directory} holds a run of an older version; give another --run-dir")
        if recorded is None and self._holds_something():
            raise WorldError(f"{self.directory} is not empty and holds no run; give another --run-dir")
        return recorded

    def _holds_something(self):
        try:
            return any(each.name != ".lock" and not _is_part(each) for each in self.directory.iterdir())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise WorldError(f"no run directory at {self.directory}: {error.strerror}") from error

    def _check(self, recorded):
        """Refuse settings that are not those the run was begun with."""
        if recorded is None:
            return
        if recorded.get("judged_on") != self.config.get("judged_on"):
            raise CommandError(f"{self.directory} holds a trial of a search, not a run; give another --run-dir")
        if recorded.get("recipe") != self.config["recipe"]:
            raise CommandError(f"{self.directory} holds a run of {recorded.get('recipe')}; give another --run-dir")
        for name in dict.fromkeys([*self.config, *recorded]):
            value, before = self.config.get(name), recorded.get(name)
            if name != "trained_on" and not _agrees(name, value, before):
                raise CommandError(
                    f"{_option(name)}: {self.directory} was begun with {before}, not {value}; "
                    "take that, or another --run-dir"
                )

    def _unfinished(self):
        """The newest default directory that the same command has left behind, unless it is being worked on."""
        for config in sorted(pathlib.Path("runs", self.config["recipe"]).glob("*/config.json"), reverse=True):
            self.directory = config.parent
            if self._is_mine(config) and not self._is_locked():
                return config.parent
        return None

    def _is_mine(self, config):
        try:
            recorded = {name: value for name, value in read_json(config).items() if name != "trained_on"}
            same = recorded.keys() == self.config.keys() and all(
                value == recorded[name] or value in OPEN.get(name, ()) for name, value in self.config.items()
            )
            return same and self.result is None
        except WorldError:  # a damaged file of some other run
            return False

    def _fresh(self):
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = [stamp, *(f"{stamp}-{number}" for number in range(2, 1000))]
        places = (pathlib.Path("runs", self.config["recipe"], name) for name in names)
        return next(place for place in places if not place.exists())

    def _is_locked(self):
        try:
            self._take_lock()
        except WorldError:
            return True
        self._lock.release()
        self._lock = None
        return False

    def _take_lock(self):
        """The operating system's lock: it ends with the process, however that ends."""
        import filelock

        if self._lock is not None:
            return
        _refuse_links(self.directory)
        lock = filelock.FileLock(self.directory / ".lock")
        try:
            lock.acquire(timeout=self._patience)
        except filelock.Timeout as error:
            raise WorldError(f"another process is at work in {self.directory}") from error
        except OSError as error:
            raise WorldError(f"cannot write {self.directory / '.lock'}: {error.strerror}") from error
        self._lock = lock

    def _record_start(self, about):
        path = self.directory / "environment.json"
        starts = (read_json(path) or {}).get("starts", [])
        if not isinstance(starts, list) or not all(isinstance(each, dict) for each in starts):
            raise WorldError(f"{path} is damaged: it has no list of starts; remove it to go on without what it says")
        now = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": ["python", "-m", "recipes", *sys.argv[1:]],
            **about,
        }
        if starts:
            changed = [name for name in ("machine", "versions", "devices") if starts[-1].get(name) != now.get(name)]
            if changed:
                print(f"Other {' and '.join(changed)} than at the last start: the bits may differ.")
        self.write_json("environment.json", {"starts": [*starts, now]})


def _is_part(path):
    """Whether a file is what `callbacks.write_whole` had not finished."""
    return path.name.startswith(".part-") and path.is_file()


def _refuse_links(directory):
    """Raise a WorldError if what is written to a run would end up elsewhere."""
    for where, folders, files in os.walk(directory):
        paths = [os.path.join(where, name) for name in [*folders, *files]]
        for path in filter(_leads_elsewhere, paths):
            raise WorldError(
                f"{path} is a link, or no regular file, and a run writes to its own directory alone; remove it, or "
                "give another --run-dir"
            )


def _leads_elsewhere(path):
    """Whether what is written there would not stay there; a link in the place of a file that is replaced does."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # it has gone since
        return False
    if path.endswith(APPENDED):
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return stat.S_ISLNK(mode) and not os.path.isfile(path)


def _option(name):
    return "KERAS_BACKEND" if name == "backend" else f"--{name.replace('_', '-')}"


def _agrees(name, value, before):
    """Whether a run that was begun with `before` may go on with `value`."""
    grows = name in GROWS and isinstance(value, int) and isinstance(before, int) and value > before
    return value == before or grows or value in OPEN.get(name, ())


def read_json(path):
    """The contents of a JSON file as a dict, or None if there is none.

    Raises:
        WorldError: it cannot be read, or is not JSON.
    """
    try:
        with open_regular(path) as file:
            content = json.loads(file.read().decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WorldError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WorldError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise WorldError(f"{path} is damaged: it holds a {type(content).__name__}")
    return content


@contextlib.contextmanager
def may_be_damaged(path):
    """Tell in one line that files hold something else than what was once written there.

    Args:
        path: of the file, or of the directory of all that is read in the block.

    Raises:
        WorldError: what was read is of another structure.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise WorldError(
            f"{path} is damaged, or of another version: {type(error).__name__} {one_line(error)}"
        ) from error


def figure(values, name):
    """A number of a result.

    Raises:
        ValueError: it is none, or not finite.
        KeyError: it is not there.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise ValueError(f"{name} is {value!r:.80}")
    return value
