import contextlib
import threading
import weakref

import sqlalchemy

from recipes.tuning.storage.database import NETWORK, PAUSE
from recipes.tuning.storage.owner import is_dead, owner

# seconds after an outage in which an expired lease can still be renewed, since machines notice its end at other times
GRACE = NETWORK["tcp_user_timeout"] / 1000 + NETWORK["connect_timeout"] + 5 * PAUSE
NOBODY = ""  # token and owner of a lease that was released
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
    """Which worker trains which trial of an Optuna study: a table beside those of Optuna, in the same database.

    A worker claims a lease in the transaction in which it makes a trial or takes it over. A lease has a token, and
    expires unless it is renewed. The result of a worker is accepted only while its token is in the table. A thread
    renews the leases of this object until the object is deleted.

    Args:
        database: `Database`.
        seconds: float > 0, how long a lease lasts.

    Attributes:
        lost: set of tokens; another worker has taken over their trials.
    """

    def __init__(self, database, seconds):
        self.seconds, self.lost, self._database = seconds, set(), database
        self._held, self._owner, self._mutex = {}, owner(), threading.Lock()  # held: dict from tokens to trials
        self._ended = threading.Event()
        renewing = (weakref.ref(self), self._ended, seconds / 4)
        threading.Thread(target=_renew_while_there, args=renewing, name="leases", daemon=True).start()

    def close(self):
        """Release all leases of this object, if the database answers at once, and stop renewing."""
        self._ended.set()
        self.give_all_back(self._in_order())

    def give_all_back(self, held):
        """Release the leases of a list of `(trial, token)`, if the database answers at once."""
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError), self._database.hurried_session() as session:
            for trial, token in held:
                self.give_back(session, trial, token, is_attempt=False)

    def free(self, session, trial):
        """Whether no worker trains a trial: it has no lease, an expired one, or one of a process that has ended."""
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
        """Write a lease for a trial. Call `hold` after the transaction."""
        attempts = self.attempts(session, trial) + 1
        expires = self._database.now(session) + self.seconds
        session.execute(LEASES.delete().where(LEASES.c.trial == trial))
        values = {"trial": trial, "token": token, "owner": self._owner, "expires": expires, "attempts": attempts}
        session.execute(LEASES.insert().values(**values))

    def claimed(self, session, token):
        """The trial that was claimed with a token; None if no trial was."""
        return session.execute(sqlalchemy.select(LEASES.c.trial).where(LEASES.c.token == token)).scalar()

    def hold(self, trial, token):
        """Begin to renew a lease again and again."""
        with self._mutex:
            self._held[token] = trial

    def forget(self, token):
        """Stop renewing a lease."""
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
        """Release a trial for the next worker that asks. `is_attempt` says whether this counts as an attempt."""
        attempts = LEASES.c.attempts - (0 if is_attempt else 1)
        values = {"token": NOBODY, "owner": NOBODY, "expires": 0.0, "attempts": attempts}
        session.execute(LEASES.update().where(_is(trial, token)).values(**values))

    def renew(self):
        """Renew all leases of this object, and put the tokens of those that were taken over into `lost`."""
        with self._database.session() as session:
            expires = self._database.now(session) + self.seconds
            gone = [token for trial, token in self._in_order() if not self._renew(session, trial, token, expires)]
        with self._mutex:
            self.lost.update(token for token in gone if token in self._held)

    def _renew(self, session, trial, token, expires):
        return session.execute(LEASES.update().where(_is(trial, token)).values(expires=expires)).rowcount > 0

    def _in_order(self):
        """`(trial, token)` of all leases, sorted: machines that lock rows in other orders could block each other."""
        return sorted((trial, token) for token, trial in list(self._held.items()))


def _renew_while_there(reference, ended, seconds):
    """Renew leases until the object is deleted, whatever errors the database raises."""
    pause = seconds
    while not ended.wait(pause) and (leases := reference()) is not None:
        try:
            leases.renew()
            pause = seconds
        except Exception:  # if the thread ended, all leases would expire
            pause = min(seconds, PAUSE)
        del leases  # so that the object can be deleted while the thread waits


def _is(trial, token):
    return sqlalchemy.and_(LEASES.c.trial == trial, LEASES.c.token == token)
