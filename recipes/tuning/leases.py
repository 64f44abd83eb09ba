import contextlib
import os
import pathlib
import socket
import sys
import threading
import time

import optuna
import sqlalchemy
from optuna.storages._rdb import models
from sqlalchemy import orm

from recipes.errors import CommandError, WorldError, one_line

TRIES = 5  # to make the tables, while others do
PAUSE = 1.0  # seconds between tries while the database does not answer
TABLES = sqlalchemy.MetaData()
LEASES = sqlalchemy.Table(
    "keras_descent_leases",
    TABLES,
    sqlalchemy.Column("trial", sqlalchemy.Integer, primary_key=True),  # its trial_id in Optuna's tables
    sqlalchemy.Column("token", sqlalchemy.String(64), nullable=False),
    sqlalchemy.Column("owner", sqlalchemy.String(512), nullable=False),
    sqlalchemy.Column("expires", sqlalchemy.Float, nullable=False),  # seconds since 1970, by the database's clock
    sqlalchemy.Column("attempts", sqlalchemy.Integer, nullable=False),
)


class Leases:
    """Who is at work on which trial of an Optuna study: a table beside Optuna's own, in the same database.

    A lease is claimed in the transaction that makes or takes over the trial; it has a token, and ends unless it is
    renewed. What a worker found counts only while its token is the one in the table.

    Args:
        url: of the database, as SQLAlchemy has it.
        seconds: float > 0, how long a lease lasts.

    Raises:
        CommandError: the URL is none.
        WorldError: the database cannot be reached.

    Attributes:
        storage: `optuna.storages.RDBStorage`.
        lost: set of Optuna's trial ids whose lease another worker has.
    """

    def __init__(self, url, seconds):
        self.seconds, self.lost, self._tokens, self._owner = seconds, set(), {}, owner()
        self.is_sqlite = url.startswith("sqlite")
        url = _with_driver(url)
        options = {"connect_args": {"timeout": 60}} if self.is_sqlite else {"pool_pre_ping": True}
        try:
            self.storage = _with_tables(url, options)
            self._engine = sqlalchemy.create_engine(url, **options)
        except sqlalchemy.exc.ArgumentError as error:
            raise CommandError(f"--storage {_without_password(url)}: {one_line(error)}") from error
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, optuna.exceptions.OptunaError) as error:
            raise WorldError(f"--storage {_without_password(url)}: {one_line(error)}") from error
        if self.is_sqlite:
            _lock_at_begin(self._engine)
        self._ended = threading.Event()
        threading.Thread(target=self._renew, name="leases", daemon=True).start()

    def close(self):
        """Stop renewing, and close the connections."""
        self._ended.set()
        self._engine.dispose()
        self.storage.engine.dispose()

    def transact(self, study, work):
        """Call `work(session)` in one transaction of which there is one at a time in a study, until it is done.

        While the database does not answer it is tried again, so `work` has to find out what an attempt whose answer
        was lost has left behind.

        Args:
            study: int, Optuna's id.
            work: function of a `sqlalchemy.orm.Session`.

        Raises:
            WorldError: the database answers that it cannot.
        """
        told = False
        while True:
            try:
                with orm.Session(self._engine) as session, session.begin():
                    models.StudyModel.find_or_raise_by_id(study, session, for_update=True)
                    return work(session)
            except sqlalchemy.exc.DBAPIError as error:
                if not self._may_pass(error):
                    raise WorldError(f"the database of the search: {one_line(error.orig)}") from error
            if not told:
                print("The database does not answer; trying again.", file=sys.stderr, flush=True)
                told = True
            time.sleep(PAUSE)

    def free(self, session, trial):
        """Whether nobody is at work on a trial: no lease, one that has ended, or one of a process that has."""
        row = session.execute(sqlalchemy.select(LEASES).where(LEASES.c.trial == trial)).first()
        return row is None or row.expires < self._now(session) or _is_dead(row.owner)

    def attempts(self, session, trial):
        """How often a trial was claimed."""
        found = session.execute(sqlalchemy.select(LEASES.c.attempts).where(LEASES.c.trial == trial)).scalar()
        return found or 0

    def claim(self, session, trial, token):
        """Take the lease of a trial; `hold` it once the transaction is through."""
        attempts = self.attempts(session, trial) + 1
        expires = self._now(session) + self.seconds
        session.execute(LEASES.delete().where(LEASES.c.trial == trial))
        values = {"trial": trial, "token": token, "owner": self._owner, "expires": expires, "attempts": attempts}
        session.execute(LEASES.insert().values(**values))

    def claimed(self, session, token):
        """The trial that was claimed with a token; None if there is none."""
        return session.execute(sqlalchemy.select(LEASES.c.trial).where(LEASES.c.token == token)).scalar()

    def hold(self, trial, token):
        """Renew a lease from here on."""
        self.lost.discard(trial)
        self._tokens[trial] = token

    def is_mine(self, session, trial):
        """Whether the lease of a trial is still the one that was claimed here."""
        token = session.execute(sqlalchemy.select(LEASES.c.token).where(LEASES.c.trial == trial)).scalar()
        return token is not None and token == self._tokens.get(trial)

    def end(self, session, trial):
        """Give a lease back."""
        session.execute(LEASES.delete().where(LEASES.c.trial == trial))

    def forget(self, trial):
        """Renew a lease no more."""
        self._tokens.pop(trial, None)

    def _now(self, session):
        if self.is_sqlite:
            return time.time()
        return float(session.execute(sqlalchemy.text("SELECT extract(epoch FROM clock_timestamp())")).scalar())

    def _may_pass(self, error):
        """Whether an error is of the connection or of a lock, not of what was asked."""
        if self.is_sqlite:
            return "locked" in str(error.orig)
        return error.connection_invalidated or isinstance(error, sqlalchemy.exc.OperationalError)

    def _renew(self):
        """Renew all leases for as long as the process lives, whatever the database does."""
        while not self._ended.wait(self.seconds / 4):
            with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
                for trial, token in list(self._tokens.items()):
                    self._renew_one(trial, token)

    def _renew_one(self, trial, token):
        with orm.Session(self._engine) as session, session.begin():
            mine = sqlalchemy.and_(LEASES.c.trial == trial, LEASES.c.token == token)
            renewed = LEASES.update().where(mine).values(expires=self._now(session) + self.seconds)
            if session.execute(renewed).rowcount == 0 and self._tokens.get(trial) == token:
                self.lost.add(trial)


def _with_tables(url, options):
    """Optuna's storage, with our table beside its own. Several processes may be making them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in reversed(range(TRIES)):
        try:
            storage = optuna.storages.RDBStorage(url, options)
            TABLES.create_all(storage.engine)
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
    """Let SQLite's transactions take the lock when they begin, not at their first write."""

    @sqlalchemy.event.listens_for(engine, "connect")
    def connect(connection, record):
        connection.isolation_level = None  # or Python's driver would begin by itself

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _with_driver(url):
    """`postgresql://` with the driver that is installed with this package."""
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            return "postgresql+psycopg://" + url.removeprefix(plain)
    return url


def _without_password(url):
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def owner():
    """This process, as other processes can find out whether it lives: host, boot, process namespace, pid, start."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    where = f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''} {_namespace()}"
    return f"{where} {os.getpid()} {_start_of(os.getpid())}"


def _is_dead(other):
    """Whether a process of this host has ended; False for those of others."""
    *where, pid, start = other.split(" ")
    return where == owner().split(" ")[:-2] and start != "" and _start_of(int(pid)) != start


def _namespace():
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid):
    """When a process began, in ticks since boot; nothing if there is none, or no /proc."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]  # a zombie has ended
