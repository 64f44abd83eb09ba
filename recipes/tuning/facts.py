import dataclasses


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is measured before a search can declare its space.

    Args:
        rates: dict from an optimizer, as `--optimizer` takes it, to the lowest and highest learning rate.
        updates: int, of the shortest trial. A warm-up that is the same at all rungs has to be shorter.
    """

    rates: dict = dataclasses.field(default_factory=dict)
    updates: int = 100
