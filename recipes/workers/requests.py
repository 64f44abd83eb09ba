"""The messages between a search and the server that forks its trials."""

import typing

SETTINGS, WORLD, BUG, DEATH = "settings", "world", "bug", "death"  # why a trial ended without an answer


class Setup(typing.NamedTuple):
    """The first message of the search: what all trials have in common.

    `path` and `arguments` are `sys.path` and the command line of the search. `strategy` is as for `--strategy`,
    `float64` says whether the recipe computes in float64, and `shared` is a pickle of the first argument of all trials'
    functions.
    """

    path: list
    arguments: list
    strategy: str
    float64: bool
    shared: bytes


class Start(typing.NamedTuple):
    """Asks the server to start a trial.

    `number` names the trial, `work` is a pickle of the function that it calls, `log` the path of the file to which its
    output is appended, `cores` and `gpus` are those that it may use. Without a log, errors go to the standard error of
    the search, and other output is dropped.
    """

    number: int
    work: bytes
    log: str | None
    cores: tuple
    gpus: tuple | None


class Kill(typing.NamedTuple):
    """Asks the server to kill the trial with this number."""

    number: int


class TakeOver(typing.NamedTuple):
    """Asks the server to take over the data that a fork has handed over, so that later forks have them."""


class Ready(typing.NamedTuple):
    """Says that the server can fork trials."""


class Refused(typing.NamedTuple):
    """Says that the server cannot begin, and why."""

    error: str


class Ended(typing.NamedTuple):
    """Says that a trial has ended.

    `number` names the trial, and `answer` is what its function returned. A trial without an answer has an `error` of
    one line and a `cause`:

    | cause | |
    |---|---|
    | "settings" | the settings do not fit together, or training diverged |
    | "world" | every other trial would fail too: the disk is full, or the images are not there |
    | "bug" | another exception |
    | "death" | the process ended without an answer: a crash, a kill, too little memory |
    """

    number: int
    answer: dict | None
    error: str | None = None
    cause: str | None = None
