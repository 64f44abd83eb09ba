"""How a search tells its study, in a database that others may search in too, what it searches."""

import contextlib

from recipes.errors import CommandError, one_line


@contextlib.contextmanager
def told_if_of_another_search():
    """Tell in one line that a study is of another search."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"{one_line(error)} by --study or --run-dir") from error


def agree_on_space(oracle, hypermodel):
    """Declare the space of a hypermodel to an oracle.

    Args:
        oracle: `StorageOracle`.
        hypermodel: `RecipeHyperModel`.

    Raises:
        CommandError: the oracle's study is of another space.
    """
    hp = oracle.get_space()
    hypermodel.declare_hyperparameters(hp)
    oracle.update_space(hp)
    with told_if_of_another_search():
        oracle.agree()
