import contextlib
import dataclasses
import datetime
import pathlib
import sys
import time

from recipes.errors import CommandError, WorldError
from recipes.machine.environment import environment, machine, versions
from recipes.run.arrays import write_arrays
from recipes.run.contents import config_of, result_of
from recipes.run.directory import GROWS, size_of, starts_of
from recipes.run.files import write_file, write_json
from recipes.run.lock import Lock
from recipes.run.names import CONFIG, ENVIRONMENT, LOCK, MODEL, PART, RESULT, TENSORBOARD
from recipes.run.pictures import name_of_picture
from recipes.run.saved_model import load_model
from recipes.run.state import history_of
from recipes.run.tables import table
from recipes.settings.fields import option_of, written
from recipes.settings.presets import completed

OPEN = {"strategy": ("auto",), "dtype": ("auto", "probe")}  # values that `settle` replaces by actual ones
WORDS = {"run": "a run", "trial": "a trial of a search", "search": "a search", "comparison": "a comparison"}
WORDS["seeds"] = "the runs of several seeds"
ELSEWHERE = "give another --run-dir"
OPTIONS = {"backend": "KERAS_BACKEND", "contenders": "--optimizers"}  # of config.json, that have another name


class Run:
    """The directory of one execution of a recipe, or of a search, a comparison or several seeds.

    ```text
    config.json        kind, recipe and all settings; classes and hash of the images
    environment.json   hardware and versions, for every start
    metrics.csv        a row for each epoch, the same in every repetition of the run
    timing.csv         the wall-clock time of each epoch
    state.npz          everything that training needs to go on after the last epoch that was saved
    tensorboard/       the metrics for TensorBoard
    model.keras, result.json                    written when the run is done
    confusion.npz                               of classifiers: the confusion matrix, the most confident mistakes
    curves.png, report.html, model_card.md      written by commands
    ```

    Every file is written in one step, so that a kill leaves the old or the new one. A run with the same settings and
    the same directory goes on where the last process ended, however it ended. If it is done, its result is returned.

    Args:
        recipe: `recipes.recipe.Recipe`.
        directory: path; by default the newest directory under runs/RECIPE with the same settings that is not done, or
            else runs/RECIPE/DATE-TIME.
        extra: dict of other values that decide the result, for config.json.
        patience: float, seconds to wait for another process that uses the directory, such as one that is about to end.
        kind: "run", "trial", "seeds", "search" or "comparison".

    Raises:
        CommandError: the directory has a run with other settings.
        WorldError: the directory holds other files, or cannot be read.
    """

    def __init__(self, recipe, directory=None, extra=None, patience=0.0, kind="run"):
        self.recipe = recipe
        self.config = {"kind": kind, "recipe": recipe.name(), **dataclasses.asdict(recipe), **(extra or {})}
        self._made, self._patience = {}, patience
        place = self._default_place() if directory is None else pathlib.Path(directory)
        self._use(place)
        self._check(self._recorded())

    def _use(self, directory):
        self.directory, self._lock = directory, Lock(directory, self._patience)

    @property
    def result(self):
        """The result of the run, a dict; None while the run is not done."""
        recorded = result_of(self.directory)
        if recorded is None or recorded.get("of") != size_of(self.config):
            return None
        return recorded

    @property
    def is_raised(self):
        """Whether the run was begun with fewer epochs than it has now."""
        before = (config_of(self.directory) or self.config)["epochs"]
        return before < self.config["epochs"]

    def __enter__(self):
        if self.result is None and (self.directory / CONFIG).exists():
            self._lock.take()
        return self

    def __exit__(self, *exception):
        self._lock.release()

    def recorded(self, name):
        """The value of a setting with which the run was begun; None if it was not begun."""
        return (config_of(self.directory) or {}).get(name)

    def settle(self, **found):
        """Replace `auto` and `probe` by actual values, and check that the run was begun with these."""
        self.config |= found
        self._check(self._recorded())

    def begin(self, data):
        """Make the directory, and write config.json and environment.json. Nothing is written before.

        Args:
            data: dict about the data. `data["digest"]` has to be the same at every start.
        """
        recorded = self._claim()
        before = (recorded or {}).get("trained_on", data)
        if not isinstance(before, dict) or before.get("digest") != data["digest"]:
            raise WorldError(f"{self.directory} was begun on other images than those of {data['name']} now")
        self.write_json(CONFIG, {**self.config, "trained_on": data})
        self._record_start(environment())

    def begin_group(self):
        """Do the same for a directory of several runs, which has no data."""
        self._claim()
        self.write_json(CONFIG, self.config)
        self._record_start({"machine": machine(), "versions": versions()})  # devices are left to the runs

    def history(self):
        """The logs of the epochs that need not be trained again, a list of dicts."""
        return history_of(self.directory)

    def epochs_done(self):
        """How many epochs need not be trained again."""
        return len(self.history())

    def model(self, name):
        """The model of a file in the run's directory."""
        return load_model(self.directory / name)

    def once(self, name, make):
        """The result of `make()`, which this process calls only the first time that a name is given."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def finish(self, result):
        """Write the result, after all other files. Then the run is done."""
        self.write_json(RESULT, {**result, "of": size_of(self.config)})

    def write(self, name, write):
        """Write a file of the run in one step.

        Args:
            name: str, of the file, or a path in the run's directory.
            write: function that writes a file, given a path.

        Raises:
            WorldError: the file cannot be written.
        """
        write_file(self.directory / name, write)

    def write_json(self, name, content):
        """Write a dict as JSON."""
        write_json(self.directory / name, content)

    def write_table(self, name, rows):
        """Write a list of dicts as CSV."""
        self.write(name, lambda part: part.write_text(table(rows)))

    def write_arrays(self, name, **arrays):
        """Write arrays as NumPy's .npz."""
        write_arrays(self.directory / name, arrays)

    def save_model(self, model):
        """Save the trained model of the run."""
        self.write(MODEL, model.save)

    def show(self, tag, picture, epoch):
        """Keep a picture that was made while training: as TAG/epoch-0001.png, and for TensorBoard.

        Args:
            tag: str, what the picture shows.
            picture: `PIL.Image.Image`.
            epoch: int, counted from 0, after which it was made.
        """
        from recipes.run.event_files import write_picture

        self.write(name_of_picture(tag, epoch), lambda part: picture.save(part, "PNG"))
        write_picture(self.directory / TENSORBOARD / tag, tag, picture, epoch)

    def event_files(self):
        """The callback that writes the logs of each epoch for TensorBoard."""
        from recipes.run.event_files import EventFiles

        return EventFiles(self.directory / TENSORBOARD)

    def show_trial(self, name, values, scores, epochs):
        """Show a trial of a search on TensorBoard's page of hyperparameters.

        Args:
            name: str, of the trial.
            values: dict of its hyperparameters.
            scores: dict from metrics to floats.
            epochs: int, how long it was trained.
        """
        from recipes.run.event_files import write_hparams

        write_hparams(self.directory / TENSORBOARD, name, values, scores, epochs)

    def _claim(self):
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorldError(f"no run directory at {self.directory}: {error.strerror}") from error
        self._lock.take()
        recorded = self._recorded()
        self._check(recorded)  # another process may have written it meanwhile
        for part in filter(_is_part, self.directory.iterdir()):  # left by a process that was killed while it wrote
            part.unlink()
        return recorded

    def _recorded(self):
        recorded = config_of(self.directory)
        if recorded is None and self._holds_something():
            raise WorldError(f"{self.directory} is not empty and holds no run; {ELSEWHERE}")
        if recorded is not None and "kind" not in recorded:
            raise WorldError(
                f"{self.directory} was written by {self._version()}, whose runs this version reads and does not train "
                f"on; {ELSEWHERE}"
            )
        return None if recorded is None else completed(type(self.recipe), recorded)

    def _version(self):
        """The version of this package that has written the directory, in words."""
        with contextlib.suppress(ValueError, LookupError, AttributeError, TypeError, WorldError):
            return f"keras-descent {starts_of(self.directory)[-1]['versions']['keras-descent'] or '0.1.0'}"
        return "an older version"

    def _holds_something(self):
        try:
            return any(each.name != LOCK and not _is_part(each) for each in self.directory.iterdir())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise WorldError(f"no run directory at {self.directory}: {error.strerror}") from error

    def _check(self, recorded):
        """Raise a CommandError if the run was begun with other settings."""
        if recorded is None:
            return
        if recorded.get("kind") != self.config["kind"]:
            words = WORDS.get(recorded.get("kind"), "something else")
            raise CommandError(f"{self.directory} holds {words}, not {WORDS[self.config['kind']]}; {ELSEWHERE}")
        if recorded.get("recipe") != self.config["recipe"]:
            raise CommandError(f"{self.directory} holds a run of {recorded.get('recipe')}; {ELSEWHERE}")
        for name in dict.fromkeys([*self.config, *recorded]):
            value, before = self.config.get(name), recorded.get(name)
            if name != "trained_on" and not _agrees(name, value, before):
                begun = f"with {_short(before)}, not {_short(value)}; take that, or another --run-dir"
                if name not in recorded:  # of a recipe that has more settings since
                    begun = f"before there was this setting; {ELSEWHERE}"
                raise CommandError(f"{_option(name)}: {self.directory} was begun {begun}")

    def _default_place(self):
        """The newest default directory with the same settings that is neither done nor in use, or a new one."""
        group = pathlib.Path("runs", self.config["recipe"].replace(":", "."))
        for config in sorted(group.glob(f"*/{CONFIG}"), reverse=True):
            self._use(config.parent)
            if self._is_mine(config) and not self._lock.is_taken():
                return config.parent
        stamp = time.strftime("%Y%m%d-%H%M%S")
        names = [stamp, *(f"{stamp}-{number}" for number in range(2, 1000))]
        return next(place for place in (group / name for name in names) if not place.exists())

    def _is_mine(self, config):
        try:
            recorded = completed(type(self.recipe), config_of(config.parent))
            recorded.pop("trained_on", None)
            same = recorded.keys() == self.config.keys() and all(
                value == recorded[name] or value in OPEN.get(name, ()) for name, value in self.config.items()
            )
            return same and self.result is None
        except WorldError:  # the file of another run is damaged
            return False

    def _record_start(self, about):
        try:
            starts = starts_of(self.directory)
        except ValueError as error:
            path = self.directory / ENVIRONMENT
            raise WorldError(f"{path} is damaged: {error}; remove it to go on without what it says") from error
        now = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": ["python", "-m", "recipes", *sys.argv[1:]],
            "epochs": self.config["epochs"],
            **about,
        }
        if starts:
            changed = [name for name in ("machine", "versions", "devices") if starts[-1].get(name) != now.get(name)]
            if changed:
                print(f"Other {' and '.join(changed)} than at the last start: the bits may differ.")
        self.write_json(ENVIRONMENT, {"starts": [*starts, now]})


def _is_part(path):
    """Whether `callbacks.write_whole` was killed while it wrote this file."""
    return path.name.startswith(PART) and path.is_file()


def _option(name):
    return OPTIONS.get(name) or option_of(name)


def _short(value):
    """A value as it is written on the command line; of a dict, such as that of contenders, its names."""
    return ",".join(map(str, value)) if isinstance(value, dict | list) else written(value)


def _agrees(name, value, before):
    """Whether a run that was begun with `before` may go on with `value`."""
    grows = name in GROWS and isinstance(value, int) and isinstance(before, int) and value > before
    return value == before or grows or value in OPEN.get(name, ())
