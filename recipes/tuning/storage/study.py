import functools
import json

import optuna

from recipes.errors import WorldError, one_line
from recipes.tuning.samplers import DIRECTIONS
from recipes.tuning.storage.agreement import agree, first_found, space_in
from recipes.tuning.storage.rows import Rows


class Study:
    """An Optuna study that holds one search: its trials, and the values that are the same on all machines.

    Args:
        database: `Database`.
        name: str; if there is no such study, it is made.
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
        """Call `work(session)` in a transaction that locks this study."""
        return self._database.transact(self.rows.study, work)

    def agree(self, mine):
        """Write the values that the study does not have yet, and compare the others.

        Args:
            mine: dict for JSON.

        Raises:
            ValueError: a value in the study differs.
        """
        difference = self.transact(lambda session: agree(session, self.rows.study, mine))
        if difference is not None:
            name, theirs, ours = difference
            raise ValueError(
                f"the study '{self.name}' is of another search: {name} is {_short(theirs)} there and {_short(ours)} "
                "here; give another name"
            )

    def recall(self, name, make):
        """A value that the first machine of the search measured, and that all machines use.

        Args:
            name: str, of the value.
            make: function without arguments that measures the value, which can be written as JSON. It is called if no
                machine has measured it.

        Returns:
            The value that was measured first.
        """
        look = functools.partial(first_found, study=self.rows.study, name=name)
        known = self.transact(look)
        if known is not None:
            return known
        mine = make()
        return self.transact(functools.partial(look, mine=mine))

    def space(self):
        """The space in the study, `keras_tuner.HyperParameters`; None if no space is written yet."""
        return self.transact(lambda session: space_in(session, self.rows.study))


def _opened(storage, name, direction):
    """Optuna's id of the study. The study is made if it does not exist."""
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
        found = [each.name.lower() for each in study.directions]
    except optuna.exceptions.StorageInternalError as error:
        raise WorldError(f"the database of the search: {one_line(error.__cause__ or error)}") from error
    except LookupError as error:  # a row is missing, or a direction is not valid
        raise WorldError(f"the database of the search is damaged: {one_line(error)}") from error
    if not found:
        raise WorldError(f"the database of the search is damaged: the study '{name}' has no direction")
    if found != [direction]:
        raise ValueError(f"the study '{name}' is of another search: it would {' and '.join(found)}, not {direction}")
    return study._study_id


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
