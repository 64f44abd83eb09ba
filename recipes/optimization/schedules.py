"""Learning rates of the names that `recipes.settings.schedules` has."""

from keras.optimizers.schedules import CosineDecay, ExponentialDecay, InverseTimeDecay, PolynomialDecay

from custom_optimizers.schedules import (
    REX,
    CosineRestarts,
    InverseSquareRoot,
    Join,
    OneCycle,
    Warmup,
    WarmupStableDecay,
)
from custom_optimizers.schedules.schedule import updates_in
from recipes.errors import CommandError
from recipes.settings.schedules import has_horizon, parse_schedule


def make_schedule(text, highest, updates):
    """Build a learning rate.

    Args:
        text: as `recipes.settings.schedules.parse_schedule` takes it.
        highest: float > 0, the highest learning rate.
        updates: int, number of updates of the run.

    Returns:
        A float or a `keras.optimizers.schedules.LearningRateSchedule`.

    Raises:
        CommandError: the schedule does not fit into so many updates.
    """
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


def shared_updates(text, updates):
    """How many of the first of `updates` updates are those of any longer run too, rate by rate.

    All of a schedule that does not depend on the horizon; of warm-up, stable, decay, all before the decay if the
    warm-up is a number of updates; none of others.
    """
    if not has_horizon(text):
        return updates
    first, *others = parse_schedule(text)
    is_steady = first.name == "warmup_stable_decay" and not others
    if not is_steady or (isinstance(first.values["warmup"], float) and first.values["warmup"] > 0):
        return 0
    return updates - updates_in(first.values["decay"], updates)


def _make_part(part, highest, horizon):
    if part.name in _WITH_WARMUP:
        return _WITH_WARMUP[part.name](highest, horizon, **part.values)
    warmup = updates_in(part.values["warmup"], horizon)
    left = max(horizon - warmup, 1)
    own = {name: part.values[name] for name in part.rule.parameters}
    for name, parameter in part.rule.parameters.items():
        if parameter.is_length:
            own[name] = max(updates_in(own[name], left), 1)
    rate = _WITHOUT_WARMUP[part.name](highest, left, **own)
    return Warmup(rate, warmup, part.values["start"]) if warmup else rate


def _cosine(highest, horizon, end, period, warmup, start):
    rise = updates_in(warmup, horizon)
    fall = max(updates_in(period, horizon - rise), 1)
    return CosineDecay(start * highest, fall, end, warmup_target=highest, warmup_steps=rise)


def _polynomial(highest, horizon, end, power=1.0):
    return PolynomialDecay(highest, horizon, end * highest, power)


_WITH_WARMUP = {  # functions of the highest rate, the horizon in updates, and all parameters as they are written
    "cosine": _cosine,
    "warmup_cosine": _cosine,
    "warmup_stable_decay": lambda highest, horizon, decay, shape, end, warmup, start: WarmupStableDecay(
        highest, horizon, warmup, decay, shape, start, end
    ),
}
_WITHOUT_WARMUP = {  # of the highest rate, the horizon that the warm-up leaves, and own parameters, lengths in updates
    "constant": lambda highest, horizon: highest,
    "step": lambda highest, horizon, factor, every: ExponentialDecay(highest, every, factor, staircase=True),
    "exponential": lambda highest, horizon, end: ExponentialDecay(highest, horizon, end),
    "inverse_time": lambda highest, horizon, decay: InverseTimeDecay(highest, decay_steps=1, decay_rate=decay),
    "polynomial": _polynomial,
    "linear": _polynomial,
    "cosine_restarts": lambda highest, horizon, period, growth, end: CosineRestarts(
        highest, horizon, period, growth, end
    ),
    "one_cycle": OneCycle,
    "inverse_square_root": lambda highest, horizon, timescale: InverseSquareRoot(highest, timescale),
    "rex": REX,
}
