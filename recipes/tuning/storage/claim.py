import dataclasses


@dataclasses.dataclass
class Claim:
    """A trial that a worker of this process is at work on.

    Args:
        token: str, of its lease.
        number: int, Optuna's id of the trial.
        trial_id: str, ours.
        tuner_id: str, of the worker.
        metrics: dict of floats, what it has reported so far.
    """

    token: str
    number: int
    trial_id: str
    tuner_id: str
    metrics: dict = dataclasses.field(default_factory=dict)

    @property
    def lease(self):
        """The lease, as the methods of `Leases` take it."""
        return {"trial": self.number, "token": self.token}
