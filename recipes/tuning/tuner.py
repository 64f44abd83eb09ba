import contextlib
import functools
import itertools
import math
import pathlib
import time
import typing

import keras_tuner
from keras_tuner.src.distribute import utils as distributed
from keras_tuner.src.engine.base_tuner import BaseTuner
from keras_tuner.src.engine.stateful import Stateful

from callbacks.write_whole import write_whole
from recipes.errors import WorldError
from recipes.tuning import hypermodel_work, work
from recipes.tuning.place import Place
from recipes.tuning.recipe_hyper_model import RecipeHyperModel
from recipes.tuning.shared import Shared
from recipes.tuning.statuses import COMPLETED, FAILED, IDLE, INVALID, STOPPED
from recipes.workers import DEATH, SETTINGS, WORLD, Processes, cores_of, gpus_of

POLL = 0.25  # seconds between looks at trials that run


class Tuner(BaseTuner):
    """Trains each trial of a search in a process of its own.

    ```python
    trial = oracle.create_trial(…)              # RUNNING, or IDLE: ask again, or STOPPED: there are no more
    process = fork of one that has imported Keras and touched no device
    score = the objective after the last epoch  # not finite, or an error: FAILED, and it cannot win
    ```

    It works with any oracle of KerasTuner, and as a chief or a worker of KerasTuner if the environment variables for
    that are set. A trial of a `RecipeHyperModel` is a run in `DIRECTORY/PROJECT/trials/ID`. If the search was killed,
    the run goes on from its last epoch; a trial of another hypermodel begins from scratch. Classes and functions may be
    defined in a notebook.

    Args:
        hypermodel: `keras_tuner.HyperModel`, or a function that builds a model from `HyperParameters`.
        oracle: `keras_tuner.Oracle`.
        workers: int >= 1, trials at a time; cores and GPUs are shared out among them.
        place: `recipes.tuning.Place`: strategy, dtype and directory of the data.
        directory, project_name, overwrite: as in KerasTuner's tuners.
        watch: object with the methods `began(trial, slot, directory, epochs)`, `ended(trial, slot, seconds)` and
            `look()`, which is called again and again while trials run.
        processes: `recipes.workers.Processes` that are ready for this hypermodel; by default `search` starts its own.

    Raises:
        WorldError: Keras cannot be started, or something cannot be sent to another process.

    Example:

    >>> import tempfile, keras_tuner
    >>> from recipes.linear_regression import LinearRegression
    >>> from recipes.tuning import RecipeHyperModel, Tuner
    >>> hypermodel = RecipeHyperModel(LinearRegression, "learning_rate=0.1:1")
    >>> oracle = keras_tuner.oracles.RandomSearchOracle(hypermodel.objective(), max_trials=2, seed=0)
    >>> tuner = Tuner(hypermodel, oracle, directory=tempfile.mkdtemp(), project_name="line")
    >>> tuner.search()
    >>> tuner.get_best_hyperparameters()[0].get("learning_rate") > 0.1
    True
    """

    def __init__(
        self,
        hypermodel,
        oracle,
        *,
        workers=1,
        place=None,
        directory=None,
        project_name=None,
        overwrite=False,
        watch=None,
        processes=None,
    ):
        if workers < 1:
            raise ValueError(f"Tuner: `workers` must be an int >= 1. Received: workers={workers!r}")
        self.workers, self.place = workers, place or Place()
        self.watch, self._processes, self._seed = watch, processes, oracle.seed
        self._max_epochs = getattr(oracle, "max_epochs", None)  # if the oracle has several budgets
        super().__init__(oracle, hypermodel, directory, project_name, overwrite)
        self.oracle.verbose = 0

    def search(self, *arguments, **named_arguments):
        """Search until the oracle says that the search is done.

        Args:
            arguments, named_arguments: of `fit` of the hypermodel, unless that is a `RecipeHyperModel`.

        Raises:
            WorldError: too many trials in a row failed.
        """
        if distributed.is_chief_oracle():
            return super().search(*arguments, **named_arguments)
        self._begin()
        try:
            if self._processes is not None:
                return self._run_all(self._processes)
            float64 = self._is_recipe and self.hypermodel.recipe.needs_float64
            shared = Shared(self.hypermodel, self.place, arguments, named_arguments)
            with Processes(shared, self.place.strategy, float64) as processes:
                self._get_ready(processes)
                return self._run_all(processes)
        except RuntimeError as error:
            raise WorldError(" ".join(str(error).split())) from error

    def save(self):
        """Save the state of the search for KerasTuner, unless the oracle does that. A kill cannot damage the file."""
        if getattr(self.oracle, "keeps_itself", False):
            return
        if not self._is_worker():
            self.oracle.save()
        write_whole(self._get_tuner_fname(), lambda part: Stateful.save(self, part))

    def run_directory(self, trial):
        """The directory of a trial's run. Runs of the same configuration have the same parent directory."""
        if "tuner/epochs" not in trial.hyperparameters.values:
            return self._directory(trial)
        return self._directory(trial) / f"epochs-{trial.hyperparameters.values['tuner/epochs']}"

    def load_model(self, trial):
        """The model of a trial after its last epoch. The model of a recipe is compiled and can be trained further.

        Raises:
            WorldError: its run is not on this machine; another machine may have trained it.
        """
        if self._is_recipe:
            return work.trained(self.hypermodel, trial.hyperparameters, self.run_directory(trial))
        weights = self._directory(trial) / hypermodel_work.WEIGHTS
        if not weights.exists():
            raise WorldError(f"trial {trial.trial_id} has left no weights at {weights}")
        model = self.hypermodel.build(trial.hyperparameters)
        model.load_weights(weights)
        return model

    def _directory(self, trial):
        """The directory of a trial's configuration: `0007` of trial `0007-1`."""
        several = "tuner/epochs" in trial.hyperparameters.values
        return pathlib.Path(self.project_dir, "trials", trial.trial_id.partition("-")[0] if several else trial.trial_id)

    @property
    def _is_recipe(self):
        return isinstance(self.hypermodel, RecipeHyperModel)

    def _populate_initial_space(self):
        """Declare the hyperparameters that need no building; the others are declared when the search begins."""
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)

    def _begin(self):
        pathlib.Path(self.project_dir, "trials").mkdir(parents=True, exist_ok=True)
        if not distributed.has_chief_oracle():
            self.oracle.save()  # so that a search that is killed in its first trial can go on
            self.save()

    def _get_ready(self, processes):
        """Prepare what all trials share: the recipe's data, or the space that a hypermodel declares when it builds."""
        if not self._is_recipe:
            explore = functools.partial(hypermodel_work.explore, config=self.oracle.get_space().get_config())
            config = processes.call(explore)["space"]
            self.oracle.update_space(keras_tuner.HyperParameters.from_config(config))
            return
        processes.share(work.load_data)

    def _run_all(self, processes):
        running = {}  # by number
        try:
            self._until_stopped(processes, running)
        except BaseException:  # such as Ctrl-C in a notebook, whose process does not end
            self._give_up(processes, running)
            raise

    def _until_stopped(self, processes, running):
        """Train until every slot was answered with STOPPED, which KerasTuner's chief waits for."""
        free, numbers = list(range(self.workers)), itertools.count()
        while free or running:
            for slot in list(free):
                trial = self.oracle.create_trial(self._tuner_of(slot))
                if trial.status == IDLE:
                    break
                free.remove(slot)
                if trial.status != STOPPED:
                    number = next(numbers)
                    running[number] = _Running(trial, slot, time.monotonic())
                    self._start(processes, number, running)
            free += self._wait(processes, running)
            free.sort()

    def _tuner_of(self, slot):
        return self.tuner_id if self.workers == 1 else f"{self.tuner_id}-{slot}"

    def _start(self, processes, number, running):
        trial, slot, _ = running[number]
        directory = self._directory(trial)
        log = pathlib.Path(self.project_dir, "trials", f"{trial.trial_id}.txt")
        cores, gpus = cores_of(self.workers)[slot], gpus_of(self.workers)[slot]
        try:
            directory.mkdir(parents=True, exist_ok=True)
            processes.start(number, self._work(trial, directory), log, cores, gpus)
        except OSError as error:
            raise WorldError(f"trial {trial.trial_id}: {error.strerror}: {directory}") from error
        if self.watch is not None:
            epochs = self._epochs(trial) if self._is_recipe else None
            self.watch.began(trial, slot, self.run_directory(trial), epochs)

    def _epochs(self, trial):
        return trial.hyperparameters.values.get("tuner/epochs", self.hypermodel.recipe.epochs)

    def _work(self, trial, directory):
        hp = trial.hyperparameters
        if self._is_recipe:
            longest = (self._max_epochs or self.hypermodel.recipe.epochs) if "tuner/epochs" in hp.values else None
            given = {"hypermodel": self.hypermodel, "values": dict(hp.values), "directory": directory}
            return functools.partial(work.train_recipe, **given, max_epochs=longest)
        return functools.partial(
            hypermodel_work.train_model,
            config=hp.get_config(),
            directory=directory,
            objective=self.oracle.objective.name,
            seed=self._seed,
        )

    def _wait(self, processes, running):
        """Wait for a moment, and tell the oracle which trials have ended. Returns their slots, which are free again."""
        if self.watch is not None:
            self.watch.look()
        for number, each in running.items():
            if self._is_lost(each.trial):
                processes.kill(number)
        return [self._end(ended, running) for ended in processes.ended(POLL)]

    def _end(self, ended, running):
        trial, slot, began = running[ended.number]
        if ended.cause == WORLD:
            raise WorldError(f"trial {trial.trial_id}: {ended.error}")
        del running[ended.number]
        self._tell_oracle(trial, ended)
        self.on_trial_end(trial)
        if self.watch is not None:
            self.watch.ended(trial, slot, time.monotonic() - began)
        return slot

    def _is_lost(self, trial):
        return hasattr(self.oracle, "is_lost") and self.oracle.is_lost(trial)

    def _give_up(self, processes, running):
        """Kill all trials, and release them, so that another process can go on with them."""
        for number in running:
            with contextlib.suppress(WorldError):  # the server may have ended
                processes.kill(number)
        for each in running.values():
            if hasattr(self.oracle, "release"):
                self.oracle.release(each.trial)

    def _tell_oracle(self, trial, ended):
        """Tell the oracle how a trial ended. Errors are final; a trial whose process died may be tried again."""
        objective = self.oracle.objective.name
        if ended.answer is None:
            trial.status, trial.message = INVALID if ended.cause == DEATH else FAILED, ended.error
            trial.is_unfit = ended.cause == SETTINGS
            return
        metrics = {n: v for n, v in ended.answer["metrics"].items() if isinstance(v, (int, float))}
        if "hyperparameters" in ended.answer:
            trial.hyperparameters = keras_tuner.HyperParameters.from_config(ended.answer["hyperparameters"])
        if objective not in metrics:
            trial.status, trial.message = FAILED, f"no metric '{objective}'; there are: {', '.join(metrics)}"
        elif not math.isfinite(metrics[objective]):
            trial.status, trial.message = FAILED, f"{objective} is {metrics[objective]}"
            trial.is_unfit = True
        else:
            trial.status, trial.score = COMPLETED, metrics[objective]
            self.oracle.update_trial(trial.trial_id, metrics)


class _Running(typing.NamedTuple):
    """A trial that is being trained."""

    trial: keras_tuner.engine.trial.Trial
    slot: int
    began: float  # seconds of `time.monotonic`
