import dataclasses


@dataclasses.dataclass
class Claim:
    """A trial that a worker of this process trains.

    Args:
        token: str, of its lease.
        number: int, Optuna's id of the trial.
        trial_id: str, id of the trial in KerasTuner.
        tuner_id: str, id of the worker.
        metrics: dict of floats that the worker has reported so far.
    """

    token: str
    number: int
    trial_id: str
    tuner_id: str
    metrics: dict = dataclasses.field(default_factory=dict)

    @property
    def lease(self):
        """The arguments by which methods of `Leases` name the lease."""
        return {"trial": self.number, "token": self.token}
