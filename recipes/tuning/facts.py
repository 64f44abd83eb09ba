import dataclasses


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a search has to know of the machine and the data.

    Args:
        rates: dict from an optimizer, as `--optimizer` takes it, to the lowest and highest learning rate.
        updates: int, of the shortest trial; the warm-up of a schedule that goes on from rung to rung is shorter.
    """

    rates: dict = dataclasses.field(default_factory=dict)
    updates: int = 100
