import contextlib
import threading
import weakref

import sqlalchemy

from recipes.tuning.storage.database import NETWORK, PAUSE
from recipes.tuning.storage.owner import is_dead, owner

# seconds after an outage in which a lease that ended meanwhile can still be renewed: some notice its end late
GRACE = NETWORK["tcp_user_timeout"] / 1000 + NETWORK["connect_timeout"] + 5 * PAUSE
NOBODY = ""  # token and owner of a lease that was given back
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
    renewed. What a worker found counts only while its token is the one in the table. A thread renews those that are
    held, until nothing refers to these any more.

    Args:
        database: `Database`.
        seconds: float > 0, how long a lease lasts.

    Attributes:
        lost: set of the tokens whose lease another worker has.
    """

    def __init__(self, database, seconds):
        self.seconds, self.lost, self._database = seconds, set(), database
        self._held, self._owner, self._mutex = {}, owner(), threading.Lock()  # held: trials by token
        self._ended = threading.Event()
        renewing = (weakref.ref(self), self._ended, seconds / 4)
        threading.Thread(target=_renew_while_there, args=renewing, name="leases", daemon=True).start()

    def close(self):
        """Give back what is held, if the database answers at once, and renew no more."""
        self._ended.set()
        self.give_all_back(self._in_order())

    def give_all_back(self, held):
        """Leave trials to whoever asks next, if the database answers at once: a list of `(trial, token)`."""
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError), self._database.hurried_session() as session:
            for trial, token in held:
                self.give_back(session, trial, token, is_attempt=False)

    def free(self, session, trial):
        """Whether nobody is at work on a trial: no lease, one that has ended, or one of a process that has."""
        row = session.execute(sqlalchemy.select(LEASES).where(LEASES.c.trial == trial)).first()
        if row is None or row.owner == NOBODY:
            return True
        if row.token in self._held:  # another thread of this process
            return False
        ends = max(row.expires, self._database.since + GRACE)
        return ends < self._database.now(session) or is_dead(row.owner)

    def attempts(self, session, trial):
        """How often a trial was claimed."""
        found = session.execute(sqlalchemy.select(LEASES.c.attempts).where(LEASES.c.trial == trial)).scalar()
        return found or 0

    def claim(self, session, trial, token):
        """Take the lease of a trial; `hold` it once the transaction is through."""
        attempts = self.attempts(session, trial) + 1
        expires = self._database.now(session) + self.seconds
        session.execute(LEASES.delete().where(LEASES.c.trial == trial))
        values = {"trial": trial, "token": token, "owner": self._owner, "expires": expires, "attempts": attempts}
        session.execute(LEASES.insert().values(**values))

    def claimed(self, session, token):
        """The trial that was claimed with a token; None if there is none."""
        return session.execute(sqlalchemy.select(LEASES.c.trial).where(LEASES.c.token == token)).scalar()

    def hold(self, trial, token):
        """Renew a lease from here on."""
        with self._mutex:
            self._held[token] = trial

    def forget(self, token):
        """Renew a lease no more."""
        with self._mutex:
            self._held.pop(token, None)
            self.lost.discard(token)

    def is_mine(self, session, trial, token):
        """Whether the lease of a trial is still the one with this token."""
        return session.execute(sqlalchemy.select(LEASES.c.token).where(LEASES.c.trial == trial)).scalar() == token

    def end(self, session, trial):
        """End the lease of a trial that has ended."""
        session.execute(LEASES.delete().where(LEASES.c.trial == trial))

    def give_back(self, session, trial, token, is_attempt):
        """Leave a trial to whoever asks next, which counts as an attempt at it or does not."""
        attempts = LEASES.c.attempts - (0 if is_attempt else 1)
        values = {"token": NOBODY, "owner": NOBODY, "expires": 0.0, "attempts": attempts}
        session.execute(LEASES.update().where(_is(trial, token)).values(**values))

    def renew(self):
        """Renew what is held, and note what is not any more."""
        with self._database.session() as session:
            expires = self._database.now(session) + self.seconds
            gone = [token for trial, token in self._in_order() if not self._renew(session, trial, token, expires)]
        with self._mutex:
            self.lost.update(token for token in gone if token in self._held)

    def _renew(self, session, trial, token, expires):
        return session.execute(LEASES.update().where(_is(trial, token)).values(expires=expires)).rowcount > 0

    def _in_order(self):
        """`(trial, token)` of what is held, in one order: two who lock rows in two would wait for each other."""
        return sorted((trial, token) for token, trial in list(self._held.items()))


def _renew_while_there(reference, ended, seconds):
    """Renew leases, whatever the database does."""
    pause = seconds
    while not ended.wait(pause) and (leases := reference()) is not None:
        try:
            leases.renew()
            pause = seconds
        except Exception:  # a thread that ends would lose all trials
            pause = min(seconds, PAUSE)
        del leases  # not kept while waiting


def _is(trial, token):
    return sqlalchemy.and_(LEASES.c.trial == trial, LEASES.c.token == token)
