"""What a search and the process that its trials are forks of say to each other."""

import typing


class Setup(typing.NamedTuple):
    """What all trials have in common.

    Import path and command line of the search, `--strategy`, dtype of the recipe, a pickle of what they share.
    """

    path: list
    arguments: list
    strategy: str
    dtype: str | None
    shared: bytes


class Start(typing.NamedTuple):
    """A trial: its number, a pickle of what it does, where its output goes, and what it may use.

    Without a log, errors go where those of the search go, and the rest nowhere.
    """

    number: int
    work: bytes
    log: str | None
    cores: tuple
    gpus: tuple | None


class Kill(typing.NamedTuple):
    """The number of a trial that is to end."""

    number: int


class Take(typing.NamedTuple):
    """What a fork has left for all trials is to be shared by them from here on."""


class Ready(typing.NamedTuple):
    """The process can fork."""


class Refused(typing.NamedTuple):
    """The process cannot begin, and why."""

    error: str


class Ended(typing.NamedTuple):
    """A trial that has ended: its number, and what its work returned or, in one line, why it did not, and the cause.

    | cause | |
    |---|---|
    | "settings" | they do not fit together, or training diverged |
    | "world" | any other trial would end like that too: the disk is full, or the images are not there |
    | "bug" | another exception |
    | "death" | its process ended without an answer: a crash, a kill, no memory |
    """

    number: int
    answer: dict | None
    error: str | None = None
    cause: str | None = None


SETTINGS, WORLD, BUG, DEATH = "settings", "world", "bug", "death"
