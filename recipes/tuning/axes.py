"""The values of a setting that a search may choose."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Between:
    """A number from `low` to `high`: a whole number if `whole`, on a logarithmic scale if `log`."""

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
