import sys
import time

from tqdm import tqdm

from recipes import run as runs
from recipes.settings.fields import written
from recipes.settings.quantities import counted, duration
from recipes.tuning.statuses import COMPLETED, RUNNING


class Progress:
    """A progress bar for each trial that runs, and a printed line for each trial that has ended.

    The line says how many configurations have been tried of how many, the best score so far, and how long the rest will
    take if it takes as long as what this process has seen.

    Args:
        workers: int, trials at a time.
        count: int, configurations in all.
        objective: `keras_tuner.Objective`.
        describe: function of `HyperParameters` that returns a dict of the trial's settings that differ from the
            others'.
        known: trials that ended before.
        keep: function that is called with each trial that has ended.
    """

    def __init__(self, workers, count, objective, describe, known=(), keep=lambda trial: None):
        self.objective, self.describe, self.keep = objective, describe, keep
        self._count, self._begun, self._tried, self._here = count, time.monotonic(), set(), 0
        self._bars, self._directories, self._best = [None] * workers, [None] * workers, {}  # best: scores by epochs
        for trial in known:
            self._note(trial)
            if trial.status != RUNNING:
                self._tried.add(_configuration(trial))

    def began(self, trial, slot, directory, epochs):
        """Show that a trial has begun in a slot. Its run is in `directory` and has this many epochs."""
        self._directories[slot] = directory
        self._bars[slot] = tqdm(
            desc=trial.trial_id,
            total=epochs,
            position=slot,
            leave=False,
            unit="epoch",
            disable=None if sys.stdout.isatty() else True,
            dynamic_ncols=True,
        )

    def look(self):
        """Show how many epochs the trials have trained."""
        for bar, directory in zip(self._bars, self._directories, strict=True):
            if bar is None or bar.disable:
                continue
            rows = runs.metrics_of(directory)  # a file that is written whole
            if len(rows) > bar.n:
                bar.set_postfix_str(self._metrics(rows[-1]), refresh=False)
                bar.update(len(rows) - bar.n)

    def ended(self, trial, slot, seconds):
        """Print what a trial has reached."""
        self._bars[slot].close()
        self._bars[slot] = None
        best = self._note(trial)
        score = "" if best is None else f"{self.objective.name} {trial.score:.4g} (best{_budget(trial)} {best:.4g})"
        words = {
            COMPLETED: score,
            RUNNING: f"{trial.message or 'another worker has it'}; it goes on",
        }
        said = words.get(trial.status, f"failed: {trial.message}")
        values = ", ".join(f"{n} {_short(v)}" for n, v in self.describe(trial.hyperparameters).items() if v is not None)
        tqdm.write(f"trial {trial.trial_id}, {self._place(trial)}: {said}, {duration(seconds)}; {values}")
        self.keep(trial)

    def _place(self, trial):
        """How many configurations have been tried, and how long the others will take."""
        if trial.status != RUNNING and _configuration(trial) not in self._tried:
            self._tried.add(_configuration(trial))
            self._here += 1
        tried = len(self._tried)
        if not self._here or tried >= self._count:
            return f"{tried} of {self._count}"
        left = (time.monotonic() - self._begun) / self._here * (self._count - tried)
        return f"{tried} of {self._count}, about {duration(left)} left"

    def _metrics(self, row):
        """The metrics of an epoch that are shown."""
        names = dict.fromkeys(["loss", "val_loss", self.objective.name])
        return ", ".join(f"{name} {float(row[name]):.4g}" for name in names if row.get(name))

    def _note(self, trial):
        """The best score of all trials with as many epochs; None if this trial has no score."""
        if trial.status != COMPLETED:
            return None
        better = max if self.objective.direction == "max" else min
        epochs = trial.hyperparameters.values.get("tuner/epochs")
        self._best[epochs] = better(trial.score, self._best.get(epochs, trial.score))
        return self._best[epochs]


def _budget(trial):
    """The epochs of a trial of a search by halving, in words: scores of other rungs are no rivals."""
    epochs = trial.hyperparameters.values.get("tuner/epochs")
    return "" if epochs is None else f" after {counted(epochs, 'epoch')}"


def _configuration(trial):
    return trial.trial_id.partition("-")[0]


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else written(value)
