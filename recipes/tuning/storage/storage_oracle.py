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
    """A KerasTuner oracle whose trials live in an Optuna database, which any number of machines may share.

    ```python
    one transaction:  a trial whose worker was lost, or else the next step of the search;  its lease, with a token
    one transaction:  score and state, if the token is still the one of the lease
    ```

    Nobody is the chief: each worker makes the same decisions from the same rows. A worker that dies stops renewing its
    leases, and its trials are taken over as they are, so that each is completed once. On the same host that is at once,
    elsewhere when the lease ends. optuna-dashboard and `optuna.load_study` show the study; trials that others add to it
    are left alone.

    Args:
        storage: URL of the database, as SQLAlchemy has it: `sqlite:///FILE` on one machine, `postgresql://…` for many.
        objective: as KerasTuner has it, a single one.
        max_trials: int, configurations to try.
        study: str, name of the study.
        sampler: "random"; "grid": every combination; "tpe" (Optuna's) or "bayesian" (KerasTuner's): where the trials
            of the first rung were good.
        rungs: tuple of ints, epochs of each rung of successive halving, ascending; None for no halving. Trials then
            have "tuner/epochs", "tuner/round" and "tuner/trial_id" (of the same configuration, one rung below).
        factor: int >= 2, one of how many is trained on.
        seed: int; configuration k derives from it and k alone, with "tpe" and "bayesian" also from what came before.
        hyperparameters: `keras_tuner.HyperParameters`, the space.
        lease_seconds: float > 0, after which a worker that is not heard of counts as lost.
        max_attempts: int, workers that a trial may lose before it fails.
        max_retries_per_trial: int, how often a trial is tried again after its process died ("INVALID").
        max_consecutive_failed_trials: int, after which the search ends with an error. Trials that fail by their
            settings, such as divergence (`trial.is_unfit`), do not count.
        about: dict for JSON, of what else all machines have to agree on.

    Raises:
        ValueError: the study is of another search, or an argument cannot be.
        CommandError: the URL is of no database that there can be.
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

    keeps_itself = True  # nothing is to be saved beside it

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
        """All trials, from the database, by their ids."""
        return {row["trial_id"]: self._trial(row) for row in self._transact(self._rows.all)}

    @trials.setter
    def trials(self, trials):
        pass  # of KerasTuner's constructor

    def create_trial(self, tuner_id):
        """Claim what is to be trained next; "IDLE" if that is not known yet, "STOPPED" if there is no more.

        A tuner that asks again before its trial has ended is given that one, as by KerasTuner.
        """
        with self._mutex:
            trial = self._ongoing_trial(tuner_id) or self._claimed(tuner_id)
        if trial.status == IDLE:
            time.sleep(PAUSE)
        return trial

    def update_trial(self, trial_id, metrics, step=0):
        """Keep the metrics of a trial until it ends; what is reported last counts."""
        self._check_objective_found(metrics)
        claim = self._claims.get(self._token_of(trial_id))
        if claim is not None:
            claim.metrics.update({name: float(value) for name, value in metrics.items()})
        return self.get_trial(trial_id)

    def end_trial(self, trial):
        """Write down what became of a trial, unless it was ended before or another worker has it.

        One that is "INVALID" is left to the next that asks, as often as `max_retries_per_trial` says. `trial.status` is
        "RUNNING" afterwards where it goes on somewhere.

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
        """Leave a trial that has not ended to the next worker that asks; it counts as no attempt at it."""
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
        """What the first machine of the search found out, for those who have to go by the same.

        Args:
            name: str, of what is found out.
            make: function without arguments that finds it out, something for JSON; called where nobody has yet.

        Returns:
            What was found first.
        """
        return self._study.recall(name, make)

    def agree(self):
        """Compare the space, as it is declared now, with that of the study.

        Raises:
            ValueError: they differ.
        """
        self._study.agree(described(self.hyperparameters))
        self._is_space_agreed = True

    def get_trial(self, trial_id):
        rows = {row["trial_id"]: row for row in self._transact(self._rows.all)}
        return self._trial(rows[trial_id])

    def get_best_trials(self, num_trials=1):
        """The best of the highest rung first, then those of the one below; what failed or runs last."""

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
        """Take the space from the database, since a tuner of KerasTuner that is reloaded does not declare it again."""
        space = self._study.space()
        if space is not None:
            self.update_space(space)

    def close(self):
        """Close the connections. Trials that have not ended are taken over when this process or their lease ends."""
        self._leases.close()
        self._database.close()

    def _asked(self):
        """What decides the trials, but for how many there are."""
        plan = dataclasses.asdict(self._plan)
        return {"objective": [self.objective.name, plan.pop("direction")]} | {
            n: plan[n] for n in plan if n != "max_trials"
        }

    def _ongoing_trial(self, tuner_id):
        """The trial that a tuner has not ended; None if there is none, or another worker has it."""
        claim = next((each for each in self._claims.values() if each.tuner_id == tuner_id), None)
        if claim is None or claim.token in self._leases.lost:
            return None
        trial = self.get_trial(claim.trial_id)
        return trial if trial.status == RUNNING else None

    def _claimed(self, tuner_id):
        if not self._is_space_agreed:  # it was declared since
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
        """The token of the last claim of a trial here; None if it has ended, or was not claimed here."""
        return next((each.token for each in reversed(self._claims.values()) if each.trial_id == trial_id), None)

    def _forget(self, claim):
        self._leases.forget(claim.token)
        del self._claims[claim.token]

    def _claim(self, session, token):
        """Claim a trial: `(its row, token)`, or `("wait" or "stop", None)`."""
        rows = self._rows.all(session)
        mine = self._leases.claimed(session, token)  # of an attempt whose answer was lost
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
        """Claim the trial that is planned after those that there are."""
        step, values = self._plan.next(rows, self.hyperparameters, functools.partial(self._rows.frozen, session))
        if values is None:
            return step, None
        params = params_of(self.hyperparameters, values)
        row = self._rows.add(session, self._plan.trial_id(step), step, values, *params)
        self._leases.claim(session, row["number"], token)
        return row, token

    def _end(self, session, claim, message, may_retry, is_unfit):
        """Write down what a trial has come to, unless an attempt whose answer was lost has; its status since."""
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
                + said[-1]  # of a traceback the error
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
