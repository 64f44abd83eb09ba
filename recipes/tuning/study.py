"""How a search checks that its study in a database, which other machines may use too, has the same space."""

import contextlib

from recipes.errors import CommandError, one_line


@contextlib.contextmanager
def study_errors_in_one_line():
    """Turn the ValueError for a study of another search into a CommandError of one line."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{one_line(error)} by --study or --run-dir") from error


def agree_on_space(oracle, hypermodel):
    """Declare the space of a hypermodel to an oracle, and compare it with the space of the study.

    Args:
        oracle: `StorageOracle`.
        hypermodel: `RecipeHyperModel`.

    Raises:
        CommandError: the study has another space.
    """
    hp = oracle.get_space()
    hypermodel.declare_hyperparameters(hp)
    oracle.update_space(hp)
    with study_errors_in_one_line():
        oracle.agree()
