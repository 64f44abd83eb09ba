"""What a search says to the process that its trials are forks of."""

import typing


class Setup(typing.NamedTuple):
    """What all trials have in common: import path, `--strategy`, dtype of the recipe, a pickle of what they share."""

    path: list
    strategy: str
    dtype: str | None
    shared: bytes


class Start(typing.NamedTuple):
    """A trial: its number, a pickle of what it does, where its output and its answer go, and what it may use."""

    number: int
    work: bytes
    log: str
    answer: str
    cores: tuple
    gpus: tuple | None


class Kill(typing.NamedTuple):
    """The number of a trial that is to end."""

    number: int


class Take(typing.NamedTuple):
    """The path of data that all trials share from here on."""

    path: str
