"""Between which values a setting is searched."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Between:
    """A number from `low` to `high`; drawn by its logarithm if `log`, and whole if `whole`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self):
        return self.low, self.high


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of several values."""

    values: tuple

    @property
    def ends(self):
        return self.values
