"""How much training each contender gets: the same number of epochs, of updates, or of seconds."""

import dataclasses

from recipes.errors import CommandError
from recipes.settings.nearest import unknown

KINDS = ("epochs", "updates", "seconds")


@dataclasses.dataclass(frozen=True)
class Budget:
    """A number of epochs, updates or seconds.

    Args:
        kind: str of `KINDS`.
        amount: float > 0; whole but for seconds.
    """

    kind: str
    amount: float

    def __str__(self):
        return f"{self.kind}={self.amount:g}"

    def epochs(self, updates_of_an_epoch, seconds_of_an_epoch):
        """Whole epochs: those with at least so many updates, or those that fit into so many seconds; one at least.

        Args:
            updates_of_an_epoch: float > 0.
            seconds_of_an_epoch: float > 0; None will do where the budget is none of seconds.
        """
        if self.kind == "epochs":
            return int(self.amount)
        if self.kind == "updates":
            return max(-int(-self.amount // updates_of_an_epoch), 1)
        return max(int(self.amount / seconds_of_an_epoch), 1)


def parse_budget(text):
    """`"epochs=30"` as a `Budget`.

    Raises:
        CommandError: it is none.
    """
    kind, equals, amount = text.partition("=")
    if not equals and _amount(kind) > 0:
        raise CommandError(f"--budget {text}: say of what, such as epochs={max(round(_amount(kind)), 1)}")
    if kind not in KINDS:
        raise CommandError(f"--budget: {unknown('budget', kind, KINDS)}")
    value = _amount(amount)
    if value <= 0 or (kind != "seconds" and value != int(value)):
        raise CommandError(f"--budget: write a {'' if kind == 'seconds' else 'whole '}number > 0, such as {kind}=30")
    return Budget(kind, value)


def _amount(text):
    """A number > 0, or 0 for what is none, or too large."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < 2**31 else 0.0
