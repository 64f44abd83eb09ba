"""What has to be the same on all machines of a search. It is kept in the study, and each machine compares it."""

import json

import keras_tuner
from optuna.storages._rdb import models

from recipes.errors import WorldError

KEY = "keras-descent"  # name of the attribute of the study
FACTS = "facts"  # its part about what was measured, not given by a user
DAMAGED = "the database of the search is damaged: the study does not say what it is of"
PARTS = ("about", "hyperparameters")  # parts of it that an error need not name


def described(space):
    """A space as a dict for JSON: `space` is the list of names, `hyperparameters` a dict from names to their configs.

    Args:
        space: `keras_tuner.HyperParameters`.
    """
    each = {}
    for index, item in enumerate(space.get_config()["space"]):
        name = item["config"]["name"]
        each[name if name not in each else f"{name} ({index})"] = {"kind": item["class_name"], **item["config"]}
    return {"space": list(each), "hyperparameters": each}


def space_in(session, study):
    """The space that is written in a study; None if no space is written yet.

    Args:
        session: `sqlalchemy.orm.Session`.
        study: int, Optuna's id.
    """
    model = models.StudyModel.find_or_raise_by_id(study, session)
    found = models.StudyUserAttributeModel.find_by_study_and_key(model, KEY, session)
    each = None if found is None else _content(found).get("hyperparameters")
    if each is None:
        return None
    items = [{"class_name": item.pop("kind"), "config": item} for item in each.values()]
    return keras_tuner.HyperParameters.from_config({"space": items, "values": {}})


def agree(session, study, mine):
    """Write the values that the study does not have yet, and compare the others.

    Args:
        session: `sqlalchemy.orm.Session`, of a transaction in which the study is locked.
        study: int, Optuna's id.
        mine: dict for JSON.

    Returns:
        `(name, theirs, mine)` of the first value that differs, or None.
    """
    mine = json.loads(json.dumps(mine))
    found = _attribute(session, study)
    theirs = _content(found)
    found.value_json = json.dumps({**mine, **theirs})
    return _difference(
        {name: theirs[name] for name in mine if name in theirs}, {n: mine[n] for n in mine if n in theirs}
    )


def first_found(session, study, name, mine=None):
    """A measured value that is in the study. If there is none, write `mine`, which all machines will use.

    Args:
        session, study: as for `agree`.
        name: str, of the value.
        mine: value that can be written as JSON; None to write nothing.

    Returns:
        The value in the study; None if there is none.
    """
    found = _attribute(session, study)
    content = _content(found)
    facts = content.setdefault(FACTS, {})
    if not isinstance(facts, dict):
        raise WorldError(DAMAGED)
    if name not in facts and mine is not None:
        facts[name] = mine
        found.value_json = json.dumps(content)
    return facts.get(name)


def _attribute(session, study):
    model = models.StudyModel.find_or_raise_by_id(study, session)
    found = models.StudyUserAttributeModel.find_by_study_and_key(model, KEY, session)
    if found is None:
        found = models.StudyUserAttributeModel(study_id=study, key=KEY, value_json="{}")
        session.add(found)
    return found


def _content(attribute):
    try:
        content = json.loads(attribute.value_json)
    except (TypeError, ValueError) as error:
        raise WorldError(DAMAGED) from error
    if not isinstance(content, dict):
        raise WorldError(DAMAGED)
    return content


def _difference(theirs, mine, path=()):
    if theirs == mine:
        return None
    if not isinstance(theirs, dict) or not isinstance(mine, dict):
        return " of ".join(reversed([name for name in path if name not in PARTS])), theirs, mine
    differing = (name for name in {**mine, **theirs} if theirs.get(name) != mine.get(name))
    name = next(differing)
    return _difference(theirs.get(name), mine.get(name), (*path, name))
