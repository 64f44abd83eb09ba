"""The learning-rate schedules that `--schedule` takes. All count updates.

    cosine                                              a name
    cosine:0.1                                          its first parameter
    cosine:end=0.1,warmup=400                           any of its parameters
    constant:until=0.5+cosine                           one after the other

A length is a number of updates or, written with a point, a share: `until` of the run; `warmup` and `decay` of the run,
or of the part between two `until`; `every`, `period` and `timescale` of what the warm-up leaves of it. Shares are
rounded down to whole updates. What ends, such as a line, ends with the run or its part.

`recipes.optimization.make_schedule` makes them; names and parameters are looked up here, without importing Keras.
"""

import dataclasses
import itertools
import typing

from recipes.errors import CommandError
from recipes.settings import fields, grammar
from recipes.settings.fields import choice, length, number
from recipes.settings.nearest import spelled, unknown


@dataclasses.dataclass(frozen=True)
class Rule:
    """A schedule that has a name.

    Args:
        text: str, what it does.
        parameters: its own, a dict from names to `recipes.settings.fields.Setting`.
        ends: bool, whether it needs the horizon whatever its parameters are.
        warmup: int or float, the default of its warm-up, which every schedule has.
    """

    text: str
    parameters: dict = dataclasses.field(default_factory=dict)
    ends: bool = False
    warmup: int | float = 0

    @property
    def all_parameters(self):
        """Its own parameters, and those that every schedule has."""
        return {**self.parameters, "warmup": length(self.warmup), "start": _START}


@dataclasses.dataclass(frozen=True)
class Part:
    """A schedule of a name, up to the update or share of the run `until`; None for the end."""

    name: str
    values: dict
    until: typing.Any = None

    @property
    def rule(self):
        return SCHEDULES[self.name]


_START = number(0.1, least=0, most=1)  # share of the rate at the end of the warm-up
_UNTIL = length(None, least=1)
_END = number(0.0, least=0, most=1)  # share of the highest rate
_SHARE = {"above": 0, "most": 1}
_FALL = {"end": _END, "period": length(1.0, least=1)}
SCHEDULES = {
    "constant": Rule("the highest rate"),
    "step": Rule(
        "times `factor` after `every` so many updates",
        {"factor": number(0.1, **_SHARE), "every": length(0.3, least=1)},
    ),
    "exponential": Rule(
        "times the same number at each update, to `end` of the highest rate", {"end": number(0.01, **_SHARE)}, ends=True
    ),
    "inverse_time": Rule("highest / (1 + decay * update), as `decay` of Keras 2", {"decay": number(0.01, above=0)}),
    "polynomial": Rule(
        "end + (1 - end) * (1 - share of the updates) ** power, of the highest rate",
        {"power": number(2.0, above=0), "end": _END},
        ends=True,
    ),
    "linear": Rule("along a line to `end` of the highest rate", {"end": _END}, ends=True),
    "cosine": Rule("along half a cosine of `period` to `end` of the highest rate", _FALL),
    "cosine_restarts": Rule(
        "cosines that begin again from the top, each `growth` times as long as the one before",
        {"period": length(0.25, least=1), "growth": number(1.0, least=1), "end": _END},
    ),
    "one_cycle": Rule(
        "up for `rise` of the updates from 1 / div_factor, down to 1 / (div_factor * final_div_factor)",
        {
            "rise": number(0.3, least=0, below=1),
            "div_factor": number(25.0, least=1),
            "final_div_factor": number(1e4, least=1),
            "shape": choice("cosine", names=("cosine", "linear")),
        },
        ends=True,
    ),
    "warmup_cosine": Rule("cosine, after a warm-up", _FALL, warmup=0.1),
    "warmup_stable_decay": Rule(
        "up, constant, and down over the last `decay`",
        {"decay": length(0.2), "shape": choice("1-sqrt", names=("1-sqrt", "cosine", "linear")), "end": _END},
        ends=True,
        warmup=0.1,
    ),
    "inverse_square_root": Rule("highest / sqrt(1 + update / timescale)", {"timescale": length(0.1, least=1)}),
    "rex": Rule("to 0, slowly at first and fast at the end", ends=True),
}


def schedule(default, help="of the learning rate over the updates; see list --schedules", **about):
    """A field of a recipe: a learning-rate schedule, as `parse_schedule` takes it."""
    return fields.text(default, help, check=parse_schedule, **{"changes": "schedule", **about})


def parse_schedule(text):
    """Read a schedule.

    Args:
        text: str, as the first lines of this file have it.

    Returns:
        A tuple of `Part`: all but the last have an `until`.

    Raises:
        CommandError: there is no such schedule or parameter, or a value is out of its range.
    """
    parts = tuple(_parse_part(part) for part in grammar.chain(text))
    _check_until(parts)
    return parts


def _parse_part(text):
    written, pairs = grammar.value(text)
    name = spelled(written, SCHEDULES)
    if name is None:
        raise CommandError(unknown("schedule", written, SCHEDULES))
    known = {**SCHEDULES[name].all_parameters, "until": _UNTIL}
    values = {key: parameter.default for key, parameter in known.items()}
    values |= grammar.pairs(name, known, pairs, has_own=bool(SCHEDULES[name].parameters))
    return Part(name, until=values.pop("until"), values=values)


def _check_until(parts):
    *before, last = parts
    for part in before:
        if part.until is None:
            raise CommandError(f"write until= for {part.name}, {_UNTIL.range}, for the next to begin there")
    if last.until is not None:
        raise CommandError(f"until={last.until} of {last.name}: no schedule follows")
    for first, second in itertools.pairwise(before):
        if type(first.until) is type(second.until) and first.until >= second.until:
            raise CommandError(f"until={second.until} does not come after until={first.until}")


def has_horizon(text):
    """Whether the schedule depends on how many updates the run makes in all."""
    begin = 0
    for part in parse_schedule(text):
        bounded = isinstance(begin, int) and isinstance(part.until, int)
        if isinstance(part.until, float) or (_uses_horizon(part) and not bounded):
            return True
        begin = part.until
    return False


def _uses_horizon(part):
    lengths = [part.values[name] for name, parameter in part.rule.all_parameters.items() if parameter.is_length]
    return part.rule.ends or any(isinstance(length, float) and length > 0 for length in lengths)


def schedule_entries():
    """Every schedule: `(its name and its parameters with their defaults, what it does)`."""
    for name, rule in SCHEDULES.items():
        yield grammar.written(name, rule.all_parameters), rule.text
