import dataclasses
import functools
import math
import secrets
import threading
import time

import keras_tuner
from keras_tuner.src.engine.objective import MultiObjective
from keras_tuner.src.engine.trial import Trial

from recipes.tuning.distributions import params_of
from recipes.tuning.halving import FACTOR, STOP, WAIT
from recipes.tuning.plan import Plan
from recipes.tuning.statuses import COMPLETED, FAILED, IDLE, INVALID, RUNNING, STOPPED
from recipes.tuning.storage.agreement import described
from recipes.tuning.storage.claim import Claim
from recipes.tuning.storage.database import Database
from recipes.tuning.storage.leases import TABLES, Leases
from recipes.tuning.storage.study import Study

PAUSE = 0.2  # seconds before a tuner that found nothing to do asks again


class StorageOracle(keras_tuner.Oracle):
    """A KerasTuner oracle whose trials are in a database of Optuna, which any number of machines may share.

    ```python
    to begin a trial, one transaction:  take over a trial whose worker was lost, or add the next one; write its lease
    to end a trial, one transaction:    write score and state, if the worker still has the lease
    ```

    There is no chief: each worker makes the same decisions from the same rows. A worker that dies stops renewing its
    leases. Then other workers take its trials over, so that each trial is completed once: at once on the same host, and
    on other hosts when the lease has expired. optuna-dashboard and `optuna.load_study` show the study. Trials that
    other programs add to the study are ignored.

    Args:
        storage: URL of the database for SQLAlchemy: `sqlite:///FILE` on one machine, `postgresql://…` for many.
        objective: `keras_tuner.Objective` or str; a single one.
        max_trials: int, configurations to try.
        study: str, name of the study.
        sampler: "random"; "grid", every combination; "tpe" (Optuna's) or "bayesian" (a Gaussian process), which learn
            from the trials of the first rung.
        rungs: tuple of ints, epochs of each rung of successive halving, ascending; None for no halving. Trials then
            have "tuner/epochs", "tuner/round" and "tuner/trial_id" (of the same configuration, one rung below).
        factor: int >= 2; one of this many configurations goes on to the next rung.
        seed: int. Configuration k depends on the seed and k alone; with "tpe" and "bayesian" also on earlier trials.
        hyperparameters: `keras_tuner.HyperParameters`, the space.
        lease_seconds: float > 0; a worker that has not renewed its lease for so long counts as lost.
        max_attempts: int, how often the worker of a trial may be lost before the trial fails.
        max_retries_per_trial: int, how often a trial is tried again after its process died ("INVALID").
        max_consecutive_failed_trials: int; after so many failures in a row the search ends with an error. Trials that
            fail because of their settings (`trial.is_unfit`), such as those that diverge, do not count.
        about: dict for JSON of other values that have to be the same on all machines.

    Raises:
        ValueError: the study is of another search, or an argument is out of its range.
        CommandError: the URL is not valid.
        WorldError: the database cannot be reached, or the study was deleted.

    Example:

    >>> import tempfile, keras_tuner
    >>> from recipes.tuning import StorageOracle
    >>> storage = f"sqlite:///{tempfile.mkdtemp()}/search.db"
    >>> hp = keras_tuner.HyperParameters()
    >>> _ = hp.Float("rate", 1e-3, 1.0, sampling="log")
    >>> oracle = StorageOracle(storage, keras_tuner.Objective("score", "max"), 1, hyperparameters=hp)
    >>> trial = oracle.create_trial("tuner0")
    >>> _ = oracle.update_trial(trial.trial_id, {"score": 0.5})
    >>> trial.status = "COMPLETED"
    >>> oracle.end_trial(trial)
    >>> oracle.create_trial("tuner0").status, oracle.get_best_trials()[0].score
    ('STOPPED', 0.5)
    """

    keeps_itself = True  # `Tuner` need not save its state

    def __init__(
        self,
        storage,
        objective,
        max_trials,
        *,
        study="search",
        sampler="random",
        rungs=None,
        factor=FACTOR,
        seed=0,
        hyperparameters=None,
        lease_seconds=60.0,
        max_attempts=10,
        max_retries_per_trial=2,
        max_consecutive_failed_trials=3,
        about=None,
    ):
        super().__init__(
            objective,
            max_trials,
            hyperparameters,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.seed, self.max_attempts = seed, max_attempts
        rungs = None if rungs is None else tuple(rungs)
        self._plan = Plan(self.objective.direction, max_trials, sampler, rungs, factor, seed)
        self.verbose = 0
        if isinstance(self.objective, MultiObjective):
            raise ValueError("StorageOracle: `objective` must be a single one")
        if not lease_seconds > 0 or not max_attempts > 0:
            raise ValueError("StorageOracle: `lease_seconds` and `max_attempts` must be > 0")
        self._mutex = threading.RLock()
        self._claims = {}  # by token
        self._database = Database(storage, TABLES)
        self._study = Study(self._database, study, self.objective.direction)
        self._rows, self._transact = self._study.rows, self._study.transact
        self._study.agree({**self._asked(), "about": about or {}})
        self._is_space_agreed = False
        if hyperparameters is not None:
            self.agree()
        self._leases = Leases(self._database, lease_seconds)

    @property
    def max_epochs(self):
        """Epochs of the last rung; None without halving."""
        return None if self._plan.rungs is None else self._plan.rungs[-1]

    @property
    def trials(self):
        """All trials in the database, a dict by their ids."""
        return {row["trial_id"]: self._trial(row) for row in self._transact(self._rows.all)}

    @trials.setter
    def trials(self, trials):
        pass  # KerasTuner's constructor sets it

    def create_trial(self, tuner_id):
        """Claim the next trial. Its status is "IDLE" if that is not known yet, "STOPPED" if the search is done.

        A tuner that asks again before its trial has ended gets the same trial, as in KerasTuner.
        """
        with self._mutex:
            trial = self._ongoing_trial(tuner_id) or self._claimed(tuner_id)
        if trial.status == IDLE:
            time.sleep(PAUSE)
        return trial

    def update_trial(self, trial_id, metrics, step=0):
        """Keep the metrics of a trial until it ends. Later values replace earlier ones."""
        self._check_objective_found(metrics)
        claim = self._claims.get(self._token_of(trial_id))
        if claim is not None:
            claim.metrics.update({name: float(value) for name, value in metrics.items()})
        return self.get_trial(trial_id)

    def end_trial(self, trial):
        """Write the result of a trial, unless it has ended before or another worker has taken it over.

        A trial that is "INVALID" is given to the next worker that asks, at most `max_retries_per_trial` times. If the
        trial goes on, here or elsewhere, `trial.status` is "RUNNING" afterwards.

        Raises:
            RuntimeError: too many trials in a row have failed.
        """
        claim = self._claims.get(getattr(trial, "token", None))
        if claim is None:
            return
        score = claim.metrics.get(self.objective.name, math.nan)
        message = None
        if trial.status != COMPLETED or not math.isfinite(score):
            message = trial.message or f"{self.objective.name} is {score}"
        is_unfit = getattr(trial, "is_unfit", False) or (trial.status == COMPLETED and message is not None)
        options = {"message": message, "may_retry": trial.status == INVALID, "is_unfit": is_unfit}
        with self._mutex:
            trial.status = self._transact(functools.partial(self._end, claim=claim, **options))
            self._forget(claim)
        if trial.status == FAILED:
            self._check_failures()

    def release(self, trial):
        """Release a trial that has not ended for the next worker that asks. It does not count as an attempt."""
        claim = self._claims.get(getattr(trial, "token", None))
        if claim is None:
            return
        with self._mutex:
            self._leases.give_all_back([(claim.number, claim.token)])
            self._forget(claim)

    def is_lost(self, trial):
        """Whether another worker has taken over a trial that was claimed here."""
        return getattr(trial, "token", None) in self._leases.lost

    def recall(self, name, make):
        """A value that the first machine of the search measured, and that all machines use.

        Args:
            name: str, of the value.
            make: function without arguments that measures the value, which can be written as JSON. It is called if no
                machine has measured it.

        Returns:
            The value that was measured first.
        """
        return self._study.recall(name, make)

    def agree(self):
        """Compare the declared space with that of the study.

        Raises:
            ValueError: they differ.
        """
        self._study.agree(described(self.hyperparameters))
        self._is_space_agreed = True

    def get_trial(self, trial_id):
        rows = {row["trial_id"]: row for row in self._transact(self._rows.all)}
        return self._trial(rows[trial_id])

    def get_best_trials(self, num_trials=1):
        """The best trials: those of the highest rung first, then the rung below; failed and running ones last."""

        def rank(trial):
            done = trial.status == COMPLETED
            score = self._plan.sign * trial.score if done else -math.inf
            return not done, -trial.hyperparameters.values.get("tuner/round", 0), -score

        return sorted(self.trials.values(), key=rank)[:num_trials]

    def remaining_trials(self):
        return self.max_trials - len({row["step"].configuration for row in self._transact(self._rows.all)})

    def save(self):
        """Nothing: everything is in the database."""

    def reload(self):
        """Read the space from the database, since a tuner of KerasTuner that is reloaded does not declare it again."""
        space = self._study.space()
        if space is not None:
            self.update_space(space)

    def close(self):
        """Close the connections, and release the trials that have not ended."""
        self._leases.close()
        self._database.close()

    def _asked(self):
        """The arguments that decide the trials, without the number of trials: a dict."""
        plan = dataclasses.asdict(self._plan)
        return {"objective": [self.objective.name, plan.pop("direction")]} | {
            n: plan[n] for n in plan if n != "max_trials"
        }

    def _ongoing_trial(self, tuner_id):
        """The trial that a tuner has not ended; None if there is none, or if another worker has taken it over."""
        claim = next((each for each in self._claims.values() if each.tuner_id == tuner_id), None)
        if claim is None or claim.token in self._leases.lost:
            return None
        trial = self.get_trial(claim.trial_id)
        return trial if trial.status == RUNNING else None

    def _claimed(self, tuner_id):
        if not self._is_space_agreed:  # the space was declared after the oracle was made
            self.agree()
        row, token = self._transact(functools.partial(self._claim, token=secrets.token_hex(16)))
        if row in (WAIT, STOP):
            return Trial(self.get_space(), trial_id="", status=IDLE if row == WAIT else STOPPED)
        lost = [claim for claim in self._claims.values() if claim.tuner_id == tuner_id]
        for claim in lost:
            self._forget(claim)
        self._claims[token] = Claim(token, row["number"], row["trial_id"], tuner_id)
        self._leases.hold(row["number"], token)
        return self._trial(row)

    def _token_of(self, trial_id):
        """The token of this process's last claim of a trial; None if the trial has ended or was not claimed here."""
        return next((each.token for each in reversed(self._claims.values()) if each.trial_id == trial_id), None)

    def _forget(self, claim):
        self._leases.forget(claim.token)
        del self._claims[claim.token]

    def _claim(self, session, token):
        """Claim a trial: `(its row, token)`, or `("wait" or "stop", None)`."""
        rows = self._rows.all(session)
        mine = self._leases.claimed(session, token)  # by an attempt whose answer was lost
        if mine is not None:
            return next(row for row in rows if row["number"] == mine), token
        running = (row for row in rows if row["status"] == RUNNING)
        free = next((row for row in running if self._leases.free(session, row["number"])), None)
        if free is None:
            return self._claim_new(session, token, rows)
        if self._leases.attempts(session, free["number"]) < self.max_attempts:
            self._leases.claim(session, free["number"], token)
            return free, token
        message = f"its worker was lost {self.max_attempts} times"
        self._rows.close(session, free["number"], self._database.now(session), None, {}, message)
        self._leases.end(session, free["number"])
        return self._claim(session, token)

    def _claim_new(self, session, token, rows):
        """Claim the next trial of the plan, a new one."""
        step, values = self._plan.next(rows, self.hyperparameters, functools.partial(self._rows.frozen, session))
        if values is None:
            return step, None
        params = params_of(self.hyperparameters, values)
        row = self._rows.add(session, self._plan.trial_id(step), step, values, *params)
        self._leases.claim(session, row["number"], token)
        return row, token

    def _end(self, session, claim, message, may_retry, is_unfit):
        """Write the result of a trial, unless an attempt whose answer was lost has done so. Returns the new status."""
        number, outcome = claim.number, COMPLETED if message is None else FAILED
        if not self._leases.is_mine(session, **claim.lease):
            return outcome if self._rows.is_closed_with(session, number, claim.token) else RUNNING
        if may_retry and self._rows.crashed(session, number) <= self.max_retries_per_trial:
            self._leases.give_back(session, **claim.lease, is_attempt=True)
            return RUNNING
        now, score = self._database.now(session), claim.metrics.get(self.objective.name)
        self._rows.close(session, number, now, score, claim.metrics, message, claim.token, is_unfit)
        self._leases.end(session, number)
        return outcome

    def _check_failures(self):
        rows = [row for row in self._transact(self._rows.all) if row["status"] != RUNNING and not row.get("is_unfit")]
        last = sorted(rows, key=lambda row: row["ended"])[-self.max_consecutive_failed_trials :]
        if len(last) == self.max_consecutive_failed_trials and all(row["status"] == FAILED for row in last):
            said = [line.strip() for line in str(last[-1].get("message")).splitlines() if line.strip()]
            raise RuntimeError(
                f"Number of consecutive failures exceeded the limit of {self.max_consecutive_failed_trials}: "
                + said[-1]  # the last line of a traceback is the error
            )

    def _trial(self, row):
        hyperparameters = self.get_space()
        hyperparameters.values = dict(row["values"])
        trial = Trial(hyperparameters, row["trial_id"], row["status"], row.get("message"))
        trial.score, trial.ended, trial.token = row["score"], row.get("ended"), self._token_of(row["trial_id"])
        claim = self._claims.get(trial.token)
        metrics = row.get("metrics") or (claim.metrics if claim else {})
        for name, value in metrics.items():
            if value is not None and math.isfinite(value):
                direction = self.objective.direction if name == self.objective.name else None
                trial.metrics.register(name, direction=direction or "min")
                trial.metrics.update(name, value)
        return trial
