import contextlib
import pathlib
import sys
import time
import urllib.parse

import optuna
import sqlalchemy
from optuna.storages._rdb import models
from sqlalchemy import orm

from recipes.errors import CommandError, WorldError, one_line

TRIES = 5  # attempts to make the tables, while other processes make them too
PAUSE = 1.0  # seconds between attempts while the database does not answer
STALL = 60  # seconds that a transaction may be idle: a machine that froze or lost its power would keep the study's lock
KINDS = ("sqlite", "postgresql")
PASSING = (  # error codes of PostgreSQL after which another attempt may succeed
    "08",  # no connection
    "25P03",  # the transaction was idle for `STALL` seconds
    "40",  # the transaction was rolled back because of another one
    "53300",  # too many connections
    "55P03",  # lock not available
    "57P",  # shutting down, starting, or a connection that was ended
)
NETWORK = {  # with these options of libpq, a server that has disappeared is an error and not an endless wait
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class Database:
    """A database with the tables of Optuna and of this package. Transactions are repeated after an outage.

    Args:
        url: URL of SQLAlchemy, for SQLite or PostgreSQL.
        tables: `sqlalchemy.MetaData` of the tables of this package.

    Raises:
        CommandError: the URL is not valid, or names another kind of database.
        WorldError: the database cannot be reached.

    Attributes:
        storage: `optuna.storages.RDBStorage`.
        engine: `sqlalchemy.Engine` of `session`.
        since: float, time by the clock of the database when it first answered, or answered again after an outage; 0
            before the first answer.
    """

    def __init__(self, url, tables):
        self.since, self._is_away = 0.0, True
        made = _parsed(url)
        self.is_sqlite = made.get_backend_name() == "sqlite"
        url = made.render_as_string(hide_password=False)
        options = {"connect_args": _arguments(made)}
        try:
            self.storage = _with_tables(url, options, tables)
            self.engine = sqlalchemy.create_engine(
                url, **options, **({} if self.is_sqlite else {"pool_pre_ping": True})
            )
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, RuntimeError, optuna.exceptions.OptunaError) as error:
            raise WorldError(f"--storage {made.render_as_string()}: {one_line(error)}") from error
        if self.is_sqlite:
            _lock_at_begin(self.engine)

    @contextlib.contextmanager
    def session(self):
        """A transaction. It is rolled back if the block raises an exception."""
        try:
            with orm.Session(self.engine) as session, session.begin():
                if not self.is_sqlite:
                    session.execute(sqlalchemy.text(f"SET LOCAL idle_in_transaction_session_timeout = '{STALL}s'"))
                if self._is_away:
                    self.since, self._is_away = self.now(session), False
                yield session
        except sqlalchemy.exc.DBAPIError as error:
            self._is_away = self._is_away or self._may_pass(error)
            raise

    def transact(self, study, work):
        """Call `work(session)` in a transaction that locks the study, and repeat it until it succeeds.

        It is repeated while the database does not answer. An attempt may have succeeded although its answer was lost,
        so `work` has to check what an earlier attempt has written.

        Args:
            study: int, Optuna's id.
            work: function of a `sqlalchemy.orm.Session`.

        Raises:
            WorldError: the database reports an error that will not pass, or the study was deleted.
        """
        was_reported = False
        while True:
            try:
                with self.session() as session:
                    _lock(study, session)
                    return work(session)
            except sqlalchemy.exc.DBAPIError as error:
                if not self._may_pass(error):
                    raise WorldError(f"the database of the search: {one_line(error.orig)}") from error
            if not was_reported:
                print("The database does not answer; trying again.", file=sys.stderr, flush=True)
                was_reported = True
            time.sleep(PAUSE)

    @contextlib.contextmanager
    def hurried_session(self):
        """A transaction that gives up after a second or two, for a process that is about to end."""
        brief = {"timeout": 1} if self.is_sqlite else {"connect_timeout": 2, "options": "-c lock_timeout=1000"}
        engine = sqlalchemy.create_engine(self.engine.url, connect_args=brief, poolclass=sqlalchemy.pool.NullPool)
        with orm.Session(engine) as session, session.begin():
            yield session

    def now(self, session):
        """Seconds since 1970 by the clock that all machines of a search share: that of the database server."""
        if self.is_sqlite:
            return time.time()
        return float(session.execute(sqlalchemy.text("SELECT extract(epoch FROM clock_timestamp())")).scalar())

    def close(self):
        """Close the connections."""
        self.engine.dispose()
        self.storage.engine.dispose()

    def _may_pass(self, error):
        """Whether another attempt may succeed: the error comes from the connection or a lock, not from the query."""
        if self.is_sqlite:
            return "locked" in str(error.orig)
        state = getattr(error.orig, "sqlstate", None)
        if state is None:  # the error does not come from the server
            return error.connection_invalidated or isinstance(error, sqlalchemy.exc.OperationalError)
        return state.startswith(PASSING)


def sqlite_url(path):
    """The URL of the SQLite database in a file. Special characters in its path are escaped."""
    return f"sqlite:///{urllib.parse.quote(str(pathlib.Path(path).absolute()))}"


def _lock(study, session):
    try:
        models.StudyModel.find_or_raise_by_id(study, session, for_update=True)
    except KeyError:
        raise WorldError("the study of the search is not in the database any more") from None


def _parsed(url):
    """Parse a URL. For PostgreSQL, it gets the driver that is installed with this package."""
    try:
        made = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise CommandError(f"--storage: {one_line(error)}") from error  # without the URL, which may have a password
    if made.drivername in ("postgresql", "postgres"):
        made = made.set(drivername="postgresql+psycopg")
    if made.get_backend_name() not in KINDS:
        raise CommandError(f"--storage {made.render_as_string()}: a database is one of {', '.join(KINDS)}")
    if made.get_backend_name() == "sqlite" and made.database in (None, "", ":memory:"):
        raise CommandError("--storage: SQLite needs a file, sqlite:///FILE")
    return made


def _arguments(url):
    """Arguments for the driver of the database, without those that the URL gives."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": 60}
    if url.get_driver_name() not in ("psycopg", "psycopg2"):
        return {}
    return {name: value for name, value in NETWORK.items() if name not in url.query}


def _with_tables(url, options, tables):
    """Optuna's storage, with the tables of this package added. Several processes may make the tables at once."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in reversed(range(TRIES)):
        try:
            storage = optuna.storages.RDBStorage(
                url.replace("{", "{{").replace("}", "}}"),  # since Optuna formats the URL
                {**options, "poolclass": sqlalchemy.pool.NullPool},  # a server has few connections
            )
            tables.create_all(storage.engine)
            return storage
        except (
            sqlalchemy.exc.IntegrityError,
            sqlalchemy.exc.ProgrammingError,
            sqlalchemy.exc.OperationalError,
        ) as error:
            if attempt == 0 or not any(word in str(error) for word in ("already exists", "UNIQUE", "unique", "locked")):
                raise
            time.sleep(PAUSE)


def _lock_at_begin(engine):
    """Let transactions of SQLite lock the database when they begin, not at their first write."""

    @sqlalchemy.event.listens_for(engine, "connect")
    def connect(connection, record):
        connection.isolation_level = None  # otherwise Python's driver begins transactions itself

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
