"""The learning-rate schedules that `--schedule` takes. All count updates.

    cosine                                              a name
    cosine:0.1                                          its first parameter
    cosine:end=0.1,warmup=400                           any of its parameters
    constant:until=0.5+cosine                           one after the other

A length is a number of updates or, written with a point, a share: `until` of the run; `warmup` and `decay` of the run,
or of the part between two `until`; `every`, `period` and `timescale` of what the warm-up leaves of it. Shares are
rounded down to whole updates. What ends, such as a line, ends with the run or its part.

Names and parameters are looked up without importing Keras, so that a wrong one is answered at once.
"""

import dataclasses
import itertools
import typing

from recipes.errors import CommandError
from recipes.settings.nearest import unknown
from recipes.settings.parameters import choice, length, number, parse_values, split_parts, written


@dataclasses.dataclass(frozen=True)
class Rule:
    """A schedule that has a name.

    `build` takes the highest rate, the horizon in updates, and its own parameters by name: lengths in updates, and the
    horizon without the warm-up that comes before it. One that `warms_up` itself takes all parameters as they are
    written, and the whole horizon.
    """

    text: str
    build: typing.Callable
    parameters: tuple = ()
    ends: bool = False  # whether it needs the horizon whatever its parameters are
    warmup: int | float = 0  # its default
    warms_up: bool = False

    @property
    def all_parameters(self):
        """Its own parameters, and those that every schedule has."""
        return *self.parameters, length("warmup", self.warmup), _START


@dataclasses.dataclass(frozen=True)
class Part:
    """A schedule of a name, up to the update or share of the run `until`; None for the end."""

    name: str
    values: dict
    until: typing.Any = None

    @property
    def rule(self):
        return SCHEDULES[self.name]


def _constant(highest, horizon):
    return highest


def _step(highest, horizon, factor, every):
    from keras.optimizers.schedules import ExponentialDecay

    return ExponentialDecay(highest, every, factor, staircase=True)


def _exponential(highest, horizon, end):
    from keras.optimizers.schedules import ExponentialDecay

    return ExponentialDecay(highest, horizon, end)


def _inverse_time(highest, horizon, decay):
    from keras.optimizers.schedules import InverseTimeDecay

    return InverseTimeDecay(highest, decay_steps=1, decay_rate=decay)


def _polynomial(highest, horizon, end, power=1.0):
    from keras.optimizers.schedules import PolynomialDecay

    return PolynomialDecay(highest, horizon, end * highest, power)


def _cosine(highest, horizon, end, period, warmup, start):
    from keras.optimizers.schedules import CosineDecay

    from custom_optimizers.schedules.schedule import updates_in

    rise = updates_in(warmup, horizon)
    fall = max(updates_in(period, horizon - rise), 1)
    return CosineDecay(start * highest, fall, end, warmup_target=highest, warmup_steps=rise)


def _cosine_restarts(highest, horizon, period, growth, end):
    from custom_optimizers.schedules import CosineRestarts

    return CosineRestarts(highest, horizon, period, growth, end)


def _one_cycle(highest, horizon, rise, div_factor, final_div_factor, shape):
    from custom_optimizers.schedules import OneCycle

    return OneCycle(highest, horizon, rise, div_factor, final_div_factor, shape)


def _warmup_stable_decay(highest, horizon, decay, shape, end, warmup, start):
    from custom_optimizers.schedules import WarmupStableDecay

    return WarmupStableDecay(highest, horizon, warmup, decay, shape, start, end)


def _inverse_square_root(highest, horizon, timescale):
    from custom_optimizers.schedules import InverseSquareRoot

    return InverseSquareRoot(highest, timescale)


def _rex(highest, horizon):
    from custom_optimizers.schedules import REX

    return REX(highest, horizon)


_START = number("start", 0.1, 0, 1)  # share of the rate at the end of the warm-up
_UNTIL = length("until", None, least=1)
_END = number("end", 0.0, 0, 1)  # share of the highest rate
_TO_THE_END = length("period", 1.0, least=1)
SCHEDULES = {
    "constant": Rule("the highest rate", _constant),
    "step": Rule(
        "times `factor` after `every` so many updates",
        _step,
        (number("factor", 0.1, 0, 1, above=True), length("every", 0.3, least=1)),
    ),
    "exponential": Rule(
        "times the same number at each update, to `end` of the highest rate",
        _exponential,
        (number("end", 0.01, 0, 1, above=True),),
        ends=True,
    ),
    "inverse_time": Rule(
        "highest / (1 + decay * update), as `decay` of Keras 2", _inverse_time, (number("decay", 0.01, 0, above=True),)
    ),
    "polynomial": Rule(
        "end + (1 - end) * (1 - share of the updates) ** power, of the highest rate",
        _polynomial,
        (number("power", 2.0, 0, above=True), _END),
        ends=True,
    ),
    "linear": Rule("along a line to `end` of the highest rate", _polynomial, (_END,), ends=True),
    "cosine": Rule(
        "along half a cosine of `period` to `end` of the highest rate", _cosine, (_END, _TO_THE_END), warms_up=True
    ),
    "cosine_restarts": Rule(
        "cosines that begin again from the top, each `growth` times as long as the one before",
        _cosine_restarts,
        (length("period", 0.25, least=1), number("growth", 1.0, 1), _END),
    ),
    "one_cycle": Rule(
        "up for `rise` of the updates from 1 / div_factor, down to 1 / (div_factor * final_div_factor)",
        _one_cycle,
        (
            number("rise", 0.3, 0, 1, below=True),
            number("div_factor", 25.0, 1),
            number("final_div_factor", 1e4, 1),
            choice("shape", "cosine", "linear"),
        ),
        ends=True,
    ),
    "warmup_cosine": Rule("cosine, after a warm-up", _cosine, (_END, _TO_THE_END), warmup=0.1, warms_up=True),
    "warmup_stable_decay": Rule(
        "up, constant, and down over the last `decay`",
        _warmup_stable_decay,
        (length("decay", 0.2), choice("shape", "1-sqrt", "cosine", "linear"), _END),
        ends=True,
        warmup=0.1,
        warms_up=True,
    ),
    "inverse_square_root": Rule(
        "highest / sqrt(1 + update / timescale)", _inverse_square_root, (length("timescale", 0.1, least=1),)
    ),
    "rex": Rule("to 0, slowly at first and fast at the end", _rex, ends=True),
}


def parse_schedule(text):
    """Read a schedule.

    Args:
        text: str, as the first lines of this file have it.

    Returns:
        A tuple of `Part`: all but the last have an `until`.

    Raises:
        CommandError: there is no such schedule or parameter, or a value is out of its range.
    """
    try:
        parts = tuple(_parse_part(part) for part in split_parts(text))
        _check_until(parts)
    except CommandError as error:
        raise CommandError(f"--schedule {text}: {error}") from None
    return parts


def _parse_part(text):
    name, colon, given = text.partition(":")
    if name not in SCHEDULES:
        raise CommandError(unknown("schedule", name, SCHEDULES))
    known = {parameter.name: parameter for parameter in (*SCHEDULES[name].all_parameters, _UNTIL)}
    values = {key: parameter.default for key, parameter in known.items()}
    if colon:
        values |= parse_values(name, known, given, has_own=bool(SCHEDULES[name].parameters))
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
    lengths = [part.values[parameter.name] for parameter in part.rule.all_parameters if parameter.is_length]
    return part.rule.ends or any(isinstance(length, float) and length > 0 for length in lengths)


def shared_updates(text, updates):
    """How many of the first of `updates` updates are those of any longer run too, rate by rate.

    All of a schedule that does not depend on the horizon; of warm-up, stable, decay, all before the decay if the
    warm-up is a number of updates; none of others.
    """
    from custom_optimizers.schedules.schedule import updates_in

    if not has_horizon(text):
        return updates
    first, *others = parse_schedule(text)
    is_steady = first.name == "warmup_stable_decay" and not others
    if not is_steady or (isinstance(first.values["warmup"], float) and first.values["warmup"] > 0):
        return 0
    return updates - updates_in(first.values["decay"], updates)


def make_schedule(text, highest, updates):
    """Build a learning rate.

    Args:
        text: as `parse_schedule` takes it.
        highest: float > 0, the highest learning rate.
        updates: int, number of updates of the run.

    Returns:
        A float or a `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        CommandError: the schedule does not fit into so many updates.
    """
    from custom_optimizers.schedules import Join
    from custom_optimizers.schedules.schedule import updates_in

    rates, begins, begin = [], [], 0
    for part in parse_schedule(text):
        end = updates if part.until is None else updates_in(part.until, updates)
        if part.until is not None and end < begin:
            raise CommandError(f"--schedule {text}: until={part.until} comes before update {begin} of {updates}")
        if part.until is not None and end == begin:
            continue  # a share of few updates
        try:
            rates.append(_make_part(part, highest, max(end - begin, 1)))
        except ValueError as error:
            raise CommandError(f"--schedule {text} of {updates} updates: {error}") from None
        begins.append(begin)
        begin = end
    return rates[0] if len(rates) == 1 else Join(rates, begins[1:])


def _make_part(part, highest, horizon):
    from custom_optimizers.schedules import Warmup
    from custom_optimizers.schedules.schedule import updates_in

    if part.rule.warms_up:
        return part.rule.build(highest, horizon, **part.values)
    warmup = updates_in(part.values["warmup"], horizon)
    left = max(horizon - warmup, 1)
    own = {parameter.name: part.values[parameter.name] for parameter in part.rule.parameters}
    for parameter in part.rule.parameters:
        if parameter.is_length:
            own[parameter.name] = max(updates_in(own[parameter.name], left), 1)
    rate = part.rule.build(highest, left, **own)
    return Warmup(rate, warmup, part.values["start"]) if warmup else rate


def schedule_entries():
    """Every schedule: `(its name and its parameters with their defaults, what it does)`."""
    for name, rule in SCHEDULES.items():
        yield written(name, rule.all_parameters), rule.text
