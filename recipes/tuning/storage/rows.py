import datetime
import json
import math
import operator

import optuna
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import orm

from recipes.errors import WorldError, one_line
from recipes.tuning.halving import Step
from recipes.tuning.statuses import COMPLETED, FAILED, RUNNING

STATES = {TrialState.RUNNING: RUNNING, TrialState.COMPLETE: COMPLETED, TrialState.FAIL: FAILED}
KINDS = {"trial_id": str, "values": dict, "metrics": dict | None, "ended": int | float | None, "message": str | None}
CRASHES = "crashes"  # the attribute of a trial that counts its crashes
TOKEN = "keras-descent:token"  # the attribute of a trial with the token of the lease that its result came with


class Rows:
    """The trials of a search in Optuna's tables. Callers pass the transaction in which they are read or written.

    Args:
        storage: `optuna.storages.RDBStorage`.
        study: int, Optuna's id.
    """

    def __init__(self, storage, study):
        self.study, self._storage = study, storage

    def all(self, session):
        """All trials of the search, a list of dicts. Trials that other programs added to the study are ignored."""
        found = []
        for trial in self._trials(session, "user_attributes", "values"):
            attributes = _attributes(trial)
            if "step" in attributes:
                score = trial.values[0].value if trial.values else None
                row = {"number": trial.trial_id, "status": STATES.get(trial.state, FAILED), "score": score}
                if row["status"] == COMPLETED and score is None:
                    raise WorldError(f"the database of the search: trial {trial.number} is damaged: it has no score")
                found.append({**attributes, **row})
        return found

    def frozen(self, session):
        """The trials of the first rung as Optuna's `FrozenTrial`s, for its samplers."""
        parts = ("values", "params", "user_attributes", "system_attributes", "intermediate_values")
        build = self._storage._build_frozen_trial_from_trial_model
        found = (build(trial) for trial in self._trials(session, *parts))
        return [trial for trial in found if trial.user_attrs.get("step", (0, -1))[1] == 0]

    def add(self, session, trial_id, step, values, params, distributions):
        """Add a running trial. Returns its row, a dict."""
        attributes = {"trial_id": trial_id, "step": [step.configuration, step.rung], "values": values}
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=params, distributions=distributions, user_attrs=attributes
        )
        trial = self._storage._get_prepared_new_trial(self.study, template, session)
        session.flush()
        return {**attributes, "step": step, "number": trial.trial_id, "status": RUNNING, "score": None}

    def crashed(self, session, number):
        """Count that the process of a trial died. Returns how often it has died."""
        trial = session.get(models.TrialModel, number)
        found = next((json.loads(each.value_json) for each in trial.user_attributes if each.key == CRASHES), 0)
        self._set(session, models.TrialUserAttributeModel, number, CRASHES, found + 1)
        return found + 1

    def close(self, session, number, ended, score, metrics, message, token=None, is_unfit=False):
        """Write the result of a trial.

        Args:
            session: `sqlalchemy.orm.Session`.
            number: int, Optuna's id of the trial.
            ended: float, time of its end by the clock of the database, since the clocks of machines differ.
            score: float; ignored if there is a message.
            metrics: dict of floats.
            message: str, why the trial failed; None if it did not fail.
            token: str, token of the lease of the worker that trained it.
            is_unfit: bool, whether the trial failed because of its settings.
        """
        trial = session.get(models.TrialModel, number)
        attributes = {"metrics": _json(metrics), "ended": ended}
        attributes |= {} if message is None else {"message": message, "is_unfit": is_unfit}
        for key, value in attributes.items():
            self._set(session, models.TrialUserAttributeModel, number, key, value)
        self._set(session, models.TrialSystemAttributeModel, number, TOKEN, token)
        if message is None:
            self._storage._set_trial_value_without_commit(session, trial, 0, score)
        trial.state = TrialState.COMPLETE if message is None else TrialState.FAIL
        trial.datetime_complete = datetime.datetime.now()

    def is_closed_with(self, session, number, token):
        """Whether the worker with this token has written the result of a trial."""
        query = session.query(models.TrialSystemAttributeModel).filter_by(trial_id=number, key=TOKEN)
        found = query.one_or_none()
        return found is not None and json.loads(found.value_json) == token

    def _trials(self, session, *parts):
        whole = (orm.selectinload(getattr(models.TrialModel, part)) for part in parts)
        trials = session.query(models.TrialModel).filter_by(study_id=self.study)
        try:
            return trials.options(*whole).order_by(models.TrialModel.number).all()
        except (LookupError, TypeError, ValueError) as error:  # a state or a date is not valid
            raise WorldError(f"the database of the search is damaged: {one_line(error)}") from error

    def _set(self, session, model, number, key, value):
        self._storage._set_trial_attr_without_commit(session, model, number, key, value)


def _json(metrics):
    """The same metrics, with None in place of NaN and infinity, which JSON does not have."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _attributes(trial):
    """The attributes of a trial, a dict. In a trial of the search, `step` is a `Step`."""
    try:
        attributes = {each.key: json.loads(each.value_json) for each in trial.user_attributes}
        if "step" in attributes:
            attributes["step"] = Step(*map(operator.index, attributes["step"]))
            _check(attributes)
    except (TypeError, ValueError) as error:
        raise WorldError(f"the database of the search: trial {trial.number} is damaged: {one_line(error)}") from error
    return attributes


def _check(attributes):
    """Raise a ValueError unless all attributes of a trial of the search have the right types."""
    for name, kind in KINDS.items():
        if not isinstance(attributes.get(name), kind):
            raise ValueError(f"{name} is {attributes.get(name)!r:.80}")
    for name, value in (attributes.get("metrics") or {}).items():
        if not isinstance(value, int | float | None):
            raise ValueError(f"{name} is {value!r:.80}")
