import dataclasses
import typing

from recipes.errors import CommandError


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Args:
        contenders: tuple of `recipes.comparison.Contender`.
        budget: `recipes.comparison.Budget` of each training.
        seeds: int >= 1, trainings of each contender with the learning rate that was found for it.
        trials: int >= 1, trainings of its search for that.
        target: float, score on the validation part whose cost is told; None for none.
        target_loss: float, the same of the loss on the training part, as the log of training has it.
        workers: int, trainings at a time.

    Raises:
        CommandError: one of them cannot be.
    """

    contenders: tuple
    budget: typing.Any
    seeds: int = 3
    trials: int = 8
    target: float | None = None
    target_loss: float | None = None
    workers: int = 1

    def __post_init__(self):
        for name in ("seeds", "trials", "workers"):
            if not 1 <= getattr(self, name) <= 1024:
                raise CommandError(f"--{name} must lie in 1 to 1024; it is {getattr(self, name)}")

    def seeds_of(self, recipe):
        """The seeds of the trainings, none of which is that of the search."""
        return range(recipe.seed + 1, recipe.seed + 1 + self.seeds)

    def described(self):
        """What decides the results of the comparison, a dict for JSON."""
        return {
            "contenders": {contender.label: contender.settings for contender in self.contenders},
            "budget": str(self.budget),
            "seeds": self.seeds,
            "trials": self.trials,
            "target": self.target,
            **({} if self.target_loss is None else {"target_loss": self.target_loss}),  # older comparisons have none
        }
