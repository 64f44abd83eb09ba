"""What a search and the process that its trials are forks of say to each other."""

import typing

SETTINGS, WORLD, BUG, DEATH = "settings", "world", "bug", "death"  # causes for which a trial ends without an answer


class Setup(typing.NamedTuple):
    """What all trials have in common; the first thing that the search says.

    `path` and `arguments` are `sys.path` and the command line of the search, `strategy` is as `--strategy` takes it,
    `float64` says whether the recipe computes in that, and `shared` is a pickle of what every trial is given.
    """

    path: list
    arguments: list
    strategy: str
    float64: bool
    shared: bytes


class Start(typing.NamedTuple):
    """Asks for a trial to be started.

    `number` is its own, `work` a pickle of the function that it calls, `log` the path of the file that its output is
    added to, `cores` and `gpus` what it may use. Without a log, errors go where those of the search go, and the rest
    goes nowhere.
    """

    number: int
    work: bytes
    log: str | None
    cores: tuple
    gpus: tuple | None


class Kill(typing.NamedTuple):
    """Asks for the trial of a number to be ended."""

    number: int


class Adopt(typing.NamedTuple):
    """Asks the process to take over the data that a fork has left for all trials, so that later forks have them."""


class Ready(typing.NamedTuple):
    """Says that the process can fork."""


class Refused(typing.NamedTuple):
    """Says that the process cannot begin, and why."""

    error: str


class Ended(typing.NamedTuple):
    """Says that a trial has ended.

    `number` is that of the trial, and `answer` what its work returned. A trial that has no answer has an `error`, in
    one line, and its cause:

    | cause | |
    |---|---|
    | "settings" | the settings do not fit together, or training diverged |
    | "world" | any other trial would end like that too: the disk is full, or the images are not there |
    | "bug" | another exception |
    | "death" | its process ended without an answer: a crash, a kill, no memory |
    """

    number: int
    answer: dict | None
    error: str | None = None
    cause: str | None = None
