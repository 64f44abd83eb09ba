import csv

from tqdm import tqdm


class Progress:
    """A live line for each trial that runs, and a lasting one for each that has ended.

    Args:
        workers: int, trials at a time.
        objective: `keras_tuner.Objective`.
        describe: function of `HyperParameters` that gives a dict of what is the trial's own.
    """

    def __init__(self, workers, objective, describe):
        self.objective, self.describe, self._best = objective, describe, None
        self._bars, self._tables = [None] * workers, [None] * workers

    def began(self, trial, slot, directory, epochs):
        """A trial has begun in a slot; its run is in `directory`, of so many epochs."""
        self._tables[slot] = directory / "metrics.csv"
        self._bars[slot] = tqdm(
            desc=trial.trial_id,
            total=epochs,
            position=slot,
            leave=False,
            unit="epoch",
            disable=None,
            dynamic_ncols=True,
        )

    def look(self):
        """Look how far the trials have come."""
        for bar, path in zip(self._bars, self._tables, strict=True):
            if bar is None or bar.disable:
                continue
            rows = _rows(path)
            if len(rows) > bar.n:
                bar.set_postfix_str(_metrics(rows[-1]), refresh=False)
                bar.update(len(rows) - bar.n)

    def ended(self, trial, slot, seconds):
        """A trial has ended."""
        self._bars[slot].close()
        self._bars[slot] = None
        self._keep(trial)
        score = (
            f"{self.objective.name} {trial.score:.4g}" if trial.status == "COMPLETED" else f"failed: {trial.message}"
        )
        best = "" if self._best is None else f" (best {self._best:.4g})"
        values = ", ".join(
            f"{name} {_short(v)}" for name, v in self.describe(trial.hyperparameters).items() if v is not None
        )
        tqdm.write(f"trial {trial.trial_id}: {score}{best}, {seconds:.1f} s; {values}")

    def _keep(self, trial):
        if trial.status != "COMPLETED":
            return
        better = max if self.objective.direction == "max" else min
        self._best = trial.score if self._best is None else better(self._best, trial.score)


def _rows(path):
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _metrics(row):
    return ", ".join(f"{name} {float(row[name]):.4g}" for name in ("loss", "val_loss", "val_accuracy") if row.get(name))


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else value
