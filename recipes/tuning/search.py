import dataclasses

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

TUNERS = ("random", "grid", "bayesian", "hyperband", "tpe")


@dataclasses.dataclass(frozen=True)
class Search:
    """The options of a search.

    Args:
        tuner: str of `TUNERS`; "hyperband" is successive halving.
        trials: int, configurations to try.
        space: tuple of str, as `recipes.tuning.space` has them.
        metric: str, one of the recipe's objectives; None for the first.
        storage: URL of a database; None for a file in the run directory.
        study: str, name of the search in the database; None for the name of the recipe.
        workers: int, trials at a time on this machine.

    Raises:
        CommandError: an option is out of its range.
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

    @property
    def is_halving(self):
        """Whether most configurations are trained for a part of the epochs."""
        return self.tuner == "hyperband"

    @property
    def sampler(self):
        """The sampler of `StorageOracle` that chooses configurations."""
        return "random" if self.is_halving else self.tuner

    def described(self):
        """The options that decide which trials the search makes, a dict for JSON."""
        about = {name: value for name, value in vars(self).items() if name not in ("workers", "storage")}
        return {**about, "space": list(self.space)}
