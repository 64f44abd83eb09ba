import os

import pytest

from benchmarks.postgresql import PostgreSQL, why_no_postgresql
from tests.recipes.tuning.searches import OPEN


@pytest.fixture(autouse=True)
def _closed():
    """Every oracle of a test is closed at its end."""
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.fixture(scope="session")
def postgresql():
    why = why_no_postgresql()
    if why and os.environ.get("CI") != "true":
        pytest.skip(why)
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path):
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'search.db'}"
    server = request.getfixturevalue("postgresql")
    return server.new(f"test_{abs(hash(str(tmp_path)))}")
