"""Every schedule of ours, listed once, with its rates in numpy as its source has them. The peak is 0.4."""

import dataclasses
import typing

import numpy as np
from keras.optimizers.schedules import CosineDecay, PolynomialDecay

from custom_optimizers.schedules import (
    REX,
    CosineRestarts,
    InverseSquareRoot,
    Join,
    OneCycle,
    Warmup,
    WarmupStableDecay,
)

PEAK = 0.4


@dataclasses.dataclass(frozen=True)
class Case:
    """`build(horizon)` makes the schedule, `expected(update, horizon)` is its rate: a float of a float."""

    name: str
    build: typing.Callable
    expected: typing.Callable
    only_shares: bool = False  # twice the updates of twice the horizon have the same rate


def one_cycle(update, horizon, shape, rise=0.3, first=PEAK / 25, last=PEAK / 25e4):
    """As the loop of torch's `OneCycleLR.get_lr` finds it."""
    phases = ((rise * horizon - 1, first, PEAK), (horizon - 1, PEAK, last))
    update, begin = min(update, horizon - 1), 0.0
    for end, start_rate, end_rate in phases:
        if update <= end:
            z = (update - begin) / (end - begin)
            if shape == "linear":
                return (end_rate - start_rate) * z + start_rate
            return end_rate + (start_rate - end_rate) / 2 * (np.cos(np.pi * z) + 1)
        begin = end
    raise AssertionError(update)


def warmup_stable_decay(update, warmup, decay, horizon, shape, start=0.1, final=0.0):
    """Section by section."""
    if update < warmup:
        return PEAK * np.interp(update, [0, warmup], [start, 1])
    if update <= horizon - decay:
        return PEAK
    z = min((update - horizon + decay) / decay, 1)
    falls = {"linear": 1 - z, "cosine": np.cos(np.pi * z / 2) ** 2, "1-sqrt": 1 - z**0.5}
    return PEAK * (final + (1 - final) * falls[shape])


def restarts(update, horizon, lengths, final=0.0):
    """Cycle by cycle."""
    update = min(update, horizon)
    *before, last = lengths
    for length in before:
        if update < length:
            return cosine(update, length, final)
        update -= length
    return cosine(update, last, final)


def cosine(update, length, final=0.0):
    return PEAK * (final + (1 - final) * np.cos(np.pi * min(update / length, 1) / 2) ** 2)


def inverse_square_root(update, timescale):
    return PEAK * np.sqrt(timescale / (timescale + update))


def rex(update, horizon):
    z = min(update / horizon, 1)
    return PEAK * 2 * (1 - z) / (2 - z)


def joined(update, horizon):
    if update < 20:
        return PEAK / 2
    return cosine(update - 20, 30) if update < 50 else inverse_square_root(update - 50, 7)


def warmed(update, horizon):
    return PEAK * (0.1 + 0.9 * update / 40) if update < 40 else cosine(update - 40, 160, 0.05)


def nested(update, horizon):
    if update >= 100:
        return rex(update - 100, 50)
    return PEAK * update / 10 if update < 10 else PEAK * (1 - 0.9 * min(update - 10, 90) / 90)


CASES = (
    Case("one_cycle", lambda h: OneCycle(PEAK, h), lambda t, h: one_cycle(t, h, "cosine")),
    Case(
        "one_cycle_linear",
        lambda h: OneCycle(PEAK, h, rise=0.45, shape="linear"),
        lambda t, h: one_cycle(t, h, "linear", rise=0.45),
    ),
    Case(
        "one_cycle_falling",
        lambda h: OneCycle(PEAK, h, rise=0.0, div_factor=2, final_div_factor=5),
        lambda t, h: one_cycle(t, h, "cosine", rise=0.0, first=PEAK / 2, last=PEAK / 10),
    ),
    Case(
        "warmup_stable_decay",
        lambda h: WarmupStableDecay(PEAK, h),
        lambda t, h: warmup_stable_decay(t, h // 10, h // 5, h, "1-sqrt"),
        only_shares=True,
    ),
    Case(
        "warmup_stable_decay_linear",
        lambda h: WarmupStableDecay(PEAK, h, warmup=15, decay=0.5, shape="linear", start=0, final=0.2),
        lambda t, h: warmup_stable_decay(t, 15, h // 2, h, "linear", 0.0, 0.2),
    ),
    Case(
        "warmup_stable_decay_cosine",
        lambda h: WarmupStableDecay(PEAK, h, warmup=0, decay=40, shape="cosine"),
        lambda t, h: warmup_stable_decay(t, 0, 40, h, "cosine"),
    ),
    Case("inverse_square_root", lambda h: InverseSquareRoot(PEAK, 30), lambda t, h: inverse_square_root(t, 30)),
    Case("rex", lambda h: REX(PEAK, h), rex, only_shares=True),
    Case(
        "cosine_restarts",
        lambda h: CosineRestarts(PEAK, h),
        lambda t, h: restarts(t, h, [h // 4] * 4),
        only_shares=True,
    ),
    Case(
        "cosine_restarts_growing",
        lambda h: CosineRestarts(PEAK, h, period=10, growth=1.1, final=0.1),
        lambda t, h: restarts(t, h, [int(10 * 11**i / 10**i) for i in range(20)], 0.1),
    ),
    Case("warmup", lambda h: Warmup(CosineDecay(PEAK, 160, 0.05), 40), warmed),
    Case("warmup_of_a_float", lambda h: Warmup(PEAK, 50, start=0), lambda t, h: PEAK * min(t / 50, 1)),
    Case(
        "join",
        lambda h: Join([PEAK / 2, CosineDecay(PEAK, 30), InverseSquareRoot(PEAK, 7)], [20, 50]),
        joined,
    ),
    Case(
        "nested",
        lambda h: Join([Warmup(PolynomialDecay(PEAK, 90, PEAK / 10), 10, start=0.0), REX(PEAK, 50)], [100]),
        nested,
    ),
)
