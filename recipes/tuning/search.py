import dataclasses

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

TUNERS = ("random", "grid", "bayesian", "hyperband", "tpe")


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search is made of. Raises a CommandError for values that cannot be.

    Args:
        tuner: str of `TUNERS`; "hyperband" is successive halving.
        trials: int, configurations to try.
        space: list of str, as `recipes.tuning.space` has them.
        metric: str, of the recipe's `OBJECTIVES`; None for the first.
        storage: URL of a database; None for a file in the run directory.
        study: str, name of the search in the database.
        workers: int, trials at a time on this machine.
    """

    tuner: str = "hyperband"
    trials: int = 20
    space: tuple = ()
    metric: str | None = None
    storage: str | None = None
    study: str | None = None
    workers: int = 1

    def __post_init__(self):
        if self.tuner not in TUNERS:
            raise CommandError(f"--tuner: {unknown('tuner', self.tuner, TUNERS)}")
        if not 0 < self.trials < 2**31:
            raise CommandError(f"--trials must lie in 1 to 2147483647; it is {self.trials}")
        if self.study == "":
            raise CommandError("--study: the name is empty")
        if not 0 < self.workers <= 1024:
            raise CommandError(f"--workers must lie in 1 to 1024; it is {self.workers}")
