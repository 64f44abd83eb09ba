import functools
import json

import optuna

from recipes.errors import WorldError, one_line
from recipes.tuning.samplers import DIRECTIONS
from recipes.tuning.storage.agreement import agree, first_found, space_in
from recipes.tuning.storage.rows import Rows


class Study:
    """An Optuna study that is one search: its trials, and what all who search in it have agreed on.

    Args:
        database: `Database`.
        name: str; a study that is not there is made.
        direction: "max" or "min".

    Raises:
        ValueError: the study is of a search in the other direction.
        WorldError: the database is damaged.

    Attributes:
        rows: `Rows`.
    """

    def __init__(self, database, name, direction):
        self.name, self._database = name, database
        self.rows = Rows(database.storage, _opened(database.storage, name, DIRECTIONS[direction]))

    def transact(self, work):
        """Call `work(session)` in one transaction of which there is one at a time in this study."""
        return self._database.transact(self.rows.study, work)

    def agree(self, mine):
        """Write down what is searched, if the study does not say it yet.

        Args:
            mine: dict for JSON.

        Raises:
            ValueError: the study says something else.
        """
        difference = self.transact(lambda session: agree(session, self.rows.study, mine))
        if difference is not None:
            name, theirs, ours = difference
            raise ValueError(
                f"the study '{self.name}' is of another search: {name} is {_short(theirs)} there and {_short(ours)} "
                "here; give another name"
            )

    def recall(self, name, make):
        """What the first machine of the search found out, for those who have to go by the same.

        Args:
            name: str, of what is found out.
            make: function without arguments that finds it out, something for JSON; called where nobody has yet.

        Returns:
            What was found first.
        """
        look = functools.partial(first_found, study=self.rows.study, name=name)
        known = self.transact(look)
        if known is not None:
            return known
        mine = make()
        return self.transact(functools.partial(look, mine=mine))

    def space(self):
        """The `keras_tuner.HyperParameters` that the study is of; None if it does not say yet."""
        return self.transact(lambda session: space_in(session, self.rows.study))


def _opened(storage, name, direction):
    """Optuna's id of the study, which is made if it is not there."""
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        found = [each.name.lower() for each in study.directions]
    except optuna.exceptions.StorageInternalError as error:
        raise WorldError(f"the database of the search: {one_line(error.__cause__ or error)}") from error
    except LookupError as error:  # a row that is not there, or a direction that is none
        raise WorldError(f"the database of the search is damaged: {one_line(error)}") from error
    if not found:
        raise WorldError(f"the database of the search is damaged: the study '{name}' has no direction")
    if found != [direction]:
        raise ValueError(f"the study '{name}' is of another search: it would {' and '.join(found)}, not {direction}")
    return study._study_id


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
