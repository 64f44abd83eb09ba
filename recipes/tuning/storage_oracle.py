import datetime
import functools
import json
import math
import secrets
import threading
import time

import keras_tuner
import numpy as np
import optuna
from keras_tuner.src.engine.trial import Trial
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import orm

from recipes.tuning.distributions import at_random, by_tpe, drawn, params_of
from recipes.tuning.halving import COMPLETED, FACTOR, FAILED, RUNNING, STOP, WAIT, Seen, Step, next_step
from recipes.tuning.leases import Leases

IDLE, STOPPED = "IDLE", "STOPPED"
PAUSE = 0.2  # seconds before a tuner that found nothing to do asks again
ABOUT = "keras-descent"  # the attribute of the study that says what is searched
STATES = {TrialState.RUNNING: RUNNING, TrialState.COMPLETE: COMPLETED, TrialState.FAIL: FAILED}
SAMPLERS = ("random", "tpe")


class StorageOracle(keras_tuner.Oracle):
    """A KerasTuner oracle whose trials live in an Optuna database, which any number of machines may share.

    ```python
    one transaction:  a trial whose worker was lost, or else the next step of the search;  its lease, with a token
    one transaction:  score and state, if the token is still the one of the lease
    ```

    Nobody is the chief: each worker makes the same decisions from the same rows. A worker that dies stops renewing its
    leases, and its trials are taken over as they are, so that each is completed once. On the same host that is at once,
    elsewhere when the lease ends. optuna-dashboard and `optuna.load_study` show the study.

    Args:
        storage: URL of the database, as SQLAlchemy has it: `sqlite:///FILE` on one machine, `postgresql://…` for many.
        objective: as KerasTuner has it, a single one.
        max_trials: int, configurations to try.
        study: str, name of the study.
        sampler: "random", or "tpe": where the completed trials were good.
        rungs: tuple of ints, epochs of each rung of successive halving, ascending; None for no halving. Trials then
            have "tuner/epochs", "tuner/round" and "tuner/trial_id" (of the same configuration, one rung below).
        factor: int >= 2, one of how many is trained on.
        seed: int; configuration k derives from it and k alone, or with "tpe" also from the trials before.
        hyperparameters: `keras_tuner.HyperParameters`, the space.
        lease_seconds: float > 0, after which a worker that is not heard of counts as lost.
        max_attempts: int, workers that a trial may lose before it fails.
        max_consecutive_failed_trials: int, after which the search ends with an error.
        about: dict for JSON, of what else all machines have to agree on.

    Raises:
        ValueError: the study is of another search.
        WorldError: the database cannot be reached.

    Attributes:
        lost: set of trial ids that another worker has taken over; end them.

    Example:

    >>> import os, tempfile, keras_tuner
    >>> from recipes.tuning import StorageOracle
    >>> storage = "sqlite:///" + os.path.join(tempfile.mkdtemp(), "search.db")
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
        max_consecutive_failed_trials=3,
        about=None,
    ):
        if sampler not in SAMPLERS:
            raise ValueError(f"StorageOracle: `sampler` must be one of {SAMPLERS}. Received: sampler={sampler!r}")
        super().__init__(
            objective, max_trials, hyperparameters, max_consecutive_failed_trials=max_consecutive_failed_trials
        )
        self.seed, self.sampler, self.rungs, self.factor = seed, sampler, rungs, factor
        self.max_attempts = max_attempts
        self.verbose = 0
        self._mutex = threading.RLock()
        self._metrics, self._numbers = {}, {}  # by trial id: what it reported; Optuna's id
        self._leases = Leases(storage, lease_seconds)
        self._direction = "maximize" if self.objective.direction == "max" else "minimize"
        self._study = optuna.create_study(
            storage=self._leases.storage, study_name=study, direction=self._direction, load_if_exists=True
        )
        self._agree(about or {})

    @property
    def lost(self):
        return {trial for trial, number in self._numbers.items() if number in self._leases.lost}

    @property
    def trials(self):
        """All trials, from the database, by their ids."""
        rows = self._transact(self._rows)
        return {row["trial_id"]: self._trial(row) for row in rows}

    @trials.setter
    def trials(self, trials):
        pass  # of KerasTuner's constructor

    def create_trial(self, tuner_id):
        """Claim what is to be trained next; "IDLE" if that is not known yet, "STOPPED" if there is no more."""
        with self._mutex:
            work = functools.partial(self._claim, token=secrets.token_hex(16))
            row, token = self._transact(work)
        if row in (WAIT, STOP):
            if row == WAIT:
                time.sleep(PAUSE)
            return Trial(self.get_space(), trial_id="", status=IDLE if row == WAIT else STOPPED)
        self._numbers[row["trial_id"]] = row["number"]
        self._leases.hold(row["number"], token)
        return self._trial(row)

    def update_trial(self, trial_id, metrics, step=0):
        """Keep the metrics of a trial until it ends."""
        self._check_objective_found(metrics)
        self._metrics[trial_id] = {name: float(value) for name, value in metrics.items()}
        return self.get_trial(trial_id)

    def end_trial(self, trial):
        """Write down what became of a trial, if it is still this worker's.

        Raises:
            RuntimeError: too many trials in a row have failed.
        """
        number = self._numbers.get(trial.trial_id)
        metrics = self._metrics.pop(trial.trial_id, {})
        score = metrics.get(self.objective.name, math.nan)
        message = None
        if trial.status != COMPLETED or not math.isfinite(score):
            message = trial.message or f"{self.objective.name} is {score}"
        with self._mutex:
            self._transact(functools.partial(self._end, number=number, metrics=metrics, message=message))
        self._leases.forget(number)
        if message is not None:
            self._check_failures()

    def release(self, trial_id):
        """Leave a trial that has not ended to the next worker that asks."""
        number = self._numbers[trial_id]

        def work(session):
            if self._leases.is_mine(session, number):
                self._leases.end(session, number)

        self._transact(work)
        self._leases.forget(number)

    def get_trial(self, trial_id):
        return self.trials[trial_id]

    def get_best_trials(self, num_trials=1):
        """The best of the highest rung first, then those of the one below; what failed or runs last."""

        def rank(trial):
            done = trial.status == COMPLETED
            score = self._sign * trial.score if done else -math.inf
            return not done, -trial.hyperparameters.values.get("tuner/round", 0), -score

        return sorted(self.trials.values(), key=rank)[:num_trials]

    def remaining_trials(self):
        return self.max_trials - len({row["step"].configuration for row in self._transact(self._rows)})

    def save(self):
        """Nothing: everything is in the database."""

    def reload(self):
        """Nothing: everything is in the database."""

    def close(self):
        """Close the connections; leases end by themselves."""
        self._leases.close()

    @property
    def _sign(self):
        return 1 if self.objective.direction == "max" else -1

    def _transact(self, work):
        return self._leases.transact(self._study._study_id, work)

    def _agree(self, about):
        """Write down what is searched, or raise a ValueError if the study is of something else."""
        mine = {
            "objective": [self.objective.name, self.objective.direction],
            "sampler": self.sampler,
            "rungs": None if self.rungs is None else list(self.rungs),
            "seed": self.seed,
            "space": self.hyperparameters.get_config()["space"],
            **about,
        }
        mine = json.loads(json.dumps(mine))

        def work(session):
            study = models.StudyModel.find_or_raise_by_id(self._study._study_id, session)
            found = models.StudyUserAttributeModel.find_by_study_and_key(study, ABOUT, session)
            if found is None:
                values = {"study_id": study.study_id, "key": ABOUT, "value_json": json.dumps(mine)}
                session.add(models.StudyUserAttributeModel(**values))
                return mine
            return json.loads(found.value_json)

        theirs = self._transact(work)
        for name in mine:
            if mine[name] != theirs.get(name):
                raise ValueError(
                    f"the study '{self._study.study_name}' is of another search: {name} is "
                    f"{_short(theirs.get(name))} there and {_short(mine[name])} here; give another name"
                )

    def _rows(self, session):
        """What the database knows of each trial of this search, as dicts."""
        trials = session.query(models.TrialModel).filter_by(study_id=self._study._study_id)
        found = []
        whole = (orm.selectinload(getattr(models.TrialModel, name)) for name in ("user_attributes", "values"))
        for trial in trials.options(*whole).order_by(models.TrialModel.number):
            attributes = {each.key: json.loads(each.value_json) for each in trial.user_attributes}
            if "step" not in attributes:
                continue  # of somebody else
            value = trial.values[0].value if trial.values else None
            row = {"number": trial.trial_id, "status": STATES.get(trial.state, FAILED), "score": value}
            found.append({**attributes, **row, "step": Step(*attributes["step"]), "ended": trial.datetime_complete})
        return found

    def _claim(self, session, token):
        """Claim a trial: `(its row, token)`, or `("wait" or "stop", None)`."""
        rows = self._rows(session)
        mine = self._leases.claimed(session, token)  # of an attempt whose answer was lost
        if mine is not None:
            return next(row for row in rows if row["number"] == mine), token
        for row in rows:
            if row["status"] == RUNNING and self._leases.free(session, row["number"]):
                if self._leases.attempts(session, row["number"]) >= self.max_attempts:
                    self._close(session, row["number"], {}, f"its worker was lost {self.max_attempts} times")
                    return self._claim(session, token)
                self._leases.claim(session, row["number"], token)
                return row, token
        step = self._next(rows, self.max_trials)
        values = self._values(session, step, rows) if isinstance(step, Step) else None
        if isinstance(step, Step) and values is None:  # the space is exhausted
            step = self._next(rows, len({row["step"].configuration for row in rows}))
            values = self._values(session, step, rows) if isinstance(step, Step) else None
        if values is None:
            return step, None
        row = self._add(session, step, values)
        self._leases.claim(session, row["number"], token)
        return row, token

    def _next(self, rows, count):
        seen = []
        for row in rows:
            score = None if row["score"] is None else self._sign * row["score"]
            seen.append(Seen(row["step"], row["status"], score))
        return next_step(seen, count, len(self.rungs or (1,)), self.factor)

    def _values(self, session, step, rows):
        """Hyperparameters of a step: those of its configuration, or new ones; None if there are no new ones."""
        below = next((row for row in rows if row["step"] == Step(step.configuration, step.rung - 1)), None)
        if below is not None:
            values = {**below["values"], "tuner/trial_id": below["trial_id"]}
        else:
            seeds = [self.seed, step.configuration]
            others = [_plain(row["values"]) for row in rows]
            begin = at_random
            if self.sampler == "tpe":
                begin = by_tpe(self._frozen(session), self._direction, _seed_of(seeds))
            values = drawn(self.hyperparameters, seeds, others, begin)
        if values is None or self.rungs is None:
            return values
        return {**values, "tuner/epochs": self.rungs[step.rung], "tuner/round": step.rung}

    def _frozen(self, session):
        """What Optuna's samplers learn from: the trials of the study that were completed or are running."""
        trials = session.query(models.TrialModel).filter_by(study_id=self._study._study_id)
        trials = trials.filter(models.TrialModel.state.in_((TrialState.RUNNING, TrialState.COMPLETE)))
        parts = ("values", "params", "user_attributes", "system_attributes", "intermediate_values")
        whole = (orm.selectinload(getattr(models.TrialModel, part)) for part in parts)
        build = self._leases.storage._build_frozen_trial_from_trial_model
        return [build(trial) for trial in trials.options(*whole).order_by(models.TrialModel.number)]

    def _add(self, session, step, values):
        """A new trial in Optuna's own tables."""
        trial_id = f"{step.configuration:04d}" + ("" if self.rungs is None else f"-{step.rung}")
        params, distributions = params_of(self.hyperparameters, values)
        attributes = {"trial_id": trial_id, "step": [step.configuration, step.rung], "values": values}
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs=attributes,
        )
        trial = self._leases.storage._get_prepared_new_trial(self._study._study_id, template, session)
        row = {**attributes, "step": step, "number": trial.trial_id, "status": RUNNING, "score": None}
        session.flush()
        return row

    def _end(self, session, number, metrics, message):
        if number is not None and self._leases.is_mine(session, number):
            self._close(session, number, metrics, message)

    def _close(self, session, number, metrics, message):
        trial = session.get(models.TrialModel, number)
        storage = self._leases.storage
        attributes = {"metrics": metrics} | ({} if message is None else {"message": message})
        for key, value in attributes.items():
            storage._set_trial_attr_without_commit(session, models.TrialUserAttributeModel, number, key, _json(value))
        if message is None:
            storage._set_trial_value_without_commit(session, trial, 0, metrics[self.objective.name])
        trial.state = TrialState.COMPLETE if message is None else TrialState.FAIL
        trial.datetime_complete = datetime.datetime.now()
        self._leases.end(session, number)

    def _check_failures(self):
        rows = [row for row in self._transact(self._rows) if row["status"] != RUNNING]
        last = sorted(rows, key=lambda row: row["ended"])[-self.max_consecutive_failed_trials :]
        if len(last) == self.max_consecutive_failed_trials and all(row["status"] == FAILED for row in last):
            raise RuntimeError(
                f"Number of consecutive failures exceeded the limit of {self.max_consecutive_failed_trials}.\n"
                + str(last[-1].get("message"))
            )

    def _trial(self, row):
        hyperparameters = self.get_space()
        hyperparameters.values = dict(row["values"])
        trial = Trial(hyperparameters, row["trial_id"], row["status"], row.get("message"))
        trial.score = row["score"]
        metrics = {name: value for name, value in (row.get("metrics") or {}).items() if value is not None}
        for name, value in metrics.items():
            direction = self.objective.direction if name == self.objective.name else None
            trial.metrics.register(name, direction=direction or "min")
            trial.metrics.update(name, value)
        return trial


def _plain(values):
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


def _seed_of(numbers):
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _json(value):
    """The same with None for what JSON does not have."""
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
