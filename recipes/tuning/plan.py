import dataclasses

from recipes.tuning.halving import FACTOR, KnownTrial, Step, next_step
from recipes.tuning.samplers import SAMPLERS


@dataclasses.dataclass(frozen=True)
class Plan:
    """Decides which trial comes next, from the rows of all trials alone. So all machines make the same decision.

    Args:
        direction: "max" or "min".
        max_trials, sampler, rungs, factor, seed: as `StorageOracle` has them.

    Raises:
        ValueError: an argument is out of its range.
    """

    direction: str
    max_trials: int
    sampler: str = "random"
    rungs: tuple | None = None
    factor: int = FACTOR
    seed: int = 0

    def __post_init__(self):
        rungs = (1,) if self.rungs is None else self.rungs
        wrong = {
            "sampler": (f"one of {', '.join(SAMPLERS)}", self.sampler not in SAMPLERS),
            "max_trials": ("an int >= 1", not isinstance(self.max_trials, int) or self.max_trials < 1),
            "rungs": ("epochs that ascend, from 1", list(rungs) != sorted(set(rungs)) or min(rungs, default=0) < 1),
            "factor": ("an int >= 2", not isinstance(self.factor, int) or self.factor < 2),
        }
        for name, (wanted, is_wrong) in wrong.items():
            if is_wrong:
                value = getattr(self, name)
                raise ValueError(f"StorageOracle: `{name}` must be {wanted}. Received: {name}={value!r}")

    @property
    def sign(self):
        """1 if a higher score is better, otherwise -1."""
        return 1 if self.direction == "max" else -1

    def next(self, rows, space, frozen):
        """The step that is trained next, and its hyperparameters.

        Args:
            rows: list of dicts, as `Rows.all` returns them.
            space: `keras_tuner.HyperParameters`.
            frozen: function without arguments that returns the trials as Optuna's `FrozenTrial`s.

        Returns:
            `(Step, values)`, `("wait", None)` or `("stop", None)`.
        """
        step = self._step(rows, self.max_trials)
        values = self._values(step, rows, space, frozen)
        if isinstance(step, Step) and values is None:  # the space is exhausted
            step = self._step(rows, len({row["step"].configuration for row in rows}))
            values = self._values(step, rows, space, frozen)
        return step, values

    def trial_id(self, step):
        """The id of the trial of a `Step`."""
        return f"{step.configuration:04d}" + ("" if self.rungs is None else f"-{step.rung}")

    def _step(self, rows, count):
        trials = []
        for row in rows:
            score = None if row["score"] is None else self.sign * row["score"]
            trials.append(KnownTrial(row["step"], row["status"], score))
        return next_step(trials, count, len(self.rungs or (1,)), self.factor)

    def _values(self, step, rows, space, frozen):
        """Hyperparameters of a step: those of its configuration, or new ones; None if the space has no more."""
        if not isinstance(step, Step):
            return None
        below = next((row for row in rows if row["step"] == Step(step.configuration, step.rung - 1)), None)
        if below is not None:
            values = {**below["values"], "tuner/trial_id": below["trial_id"]}
        else:
            first = [row for row in rows if row["step"].rung == 0]
            sample = SAMPLERS[self.sampler]
            values = sample(space, first, [self.seed, step.configuration], self.direction, frozen, self.max_trials)
        if values is None or self.rungs is None:
            return values
        return {**values, "tuner/epochs": self.rungs[step.rung], "tuner/round": step.rung}
