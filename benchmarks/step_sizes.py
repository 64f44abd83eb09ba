"""Rules for the step of gradient descent beside the best of 8 constant learning rates, in float64.

Matyas and Zakharov from the starts of `benchmarks.functions`, Matyas from another one too, and logistic regression on
the digits of scikit-learn: whether a digit is even, and whether it is a zero, which a plane can tell from the rest;
each without a regulariser and with an L2 penalty. The 64 pixels are standardised, and the weights begin as zeros.

What counts is after how many passes the training loss has come to three levels on the way from the start to its lowest
value, that BFGS finds. Each evaluation is a pass, whether its point is taken or not, so each update of CDAT is two. The
rules are as they are, behind the default `learning_rate` of `BatchGD`. Beside them is, for each level, the constant
rate that is best for that level, of eight, a factor of two apart; for zeros without a penalty a factor of eight, since
there the classes are separable, and the longer the steps, the fewer it takes.

    python -m benchmarks.step_sizes        # three minutes
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks.counted import calls_to
from benchmarks.functions import FUNCTIONS, Output, Value, float64
from benchmarks.lbfgs import digits
from benchmarks.record import write
from callbacks import FullBatch
from custom_optimizers import BFGS, BatchGD
from custom_optimizers.line_search import Polyak

CALL, CALLS = 500, 20  # passes of an epoch; epochs
BOUND = 1.2  # times the passes of the best constant rate
PENALTY = 1e-3
OTHER_START = [6, 2]  # of Matyas, whose gradient at (6, 6) is an eigenvector of its Hessian: there one step can be all
RATES = 8


def function(name, start=None):
    """`(model, x, y, loss)` of a function of `benchmarks.functions`, from its start or another one."""
    of, usual = FUNCTIONS[name]
    model = keras.Sequential([keras.Input((1,)), Value(of, start or usual)])
    zero = np.zeros((1, 1))
    return model, zero, zero, Output()


def logistic_regression(is_one, penalty=0.0):
    """`(model, x, y, loss)` of a classifier of the digits into two classes.

    Args:
        is_one: function of a vector of digits that tells those of the second class.
        penalty: float >= 0, of the squares of the weights.
    """
    x, y = digits()
    x = x.reshape(len(x), -1)
    deviation = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    dense = keras.layers.Dense(1, kernel_initializer="zeros", kernel_regularizer=keras.regularizers.L2(penalty))
    model = keras.Sequential([keras.Input((x.shape[1],)), dense])
    return model, x, is_one(y).astype("float64")[:, None], keras.losses.BinaryCrossentropy(from_logits=True)


def is_even(digit):
    return digit % 2 == 0


def is_zero(digit):
    return digit == 0


def powers(first, step=1):
    """Eight constant rates, powers of two."""
    return tuple(2.0 ** (first + step * i) for i in range(RATES))


SHARES, SHARES_OF_ZAKHAROV = (1e-2, 1e-4, 1e-6), (1e-5, 1e-10, 1e-20)  # from 5e14 on: the last one is 5e-6
PROBLEMS = {  # what makes it; constant rates; shares of the way to the lowest loss, what is left at each level
    "Matyas": (lambda: function("matyas"), powers(-1), SHARES),
    "Matyas, another start": (lambda: function("matyas", OTHER_START), powers(-4), SHARES),
    "Zakharov": (lambda: function("zakharov"), powers(-35), SHARES_OF_ZAKHAROV),
    "even digits": (lambda: logistic_regression(is_even), powers(-3), SHARES),
    "even digits, L2": (lambda: logistic_regression(is_even, PENALTY), powers(-3), SHARES),
    "zeros": (lambda: logistic_regression(is_zero), powers(1, step=3), SHARES),
    "zeros, L2": (lambda: logistic_regression(is_zero, PENALTY), powers(-3), SHARES),
}


def improvements(name, optimizer):
    """`(pass, loss)` wherever the loss is lower than at all passes before; loss and passes of a training."""
    model, x, y, loss = PROBLEMS[name][0]()
    model.compile(optimizer, loss)
    full = FullBatch(passes_per_epoch=CALL)
    model.fit(x, y, batch_size=len(x), epochs=CALLS, shuffle=False, verbose=0, callbacks=[full])
    lowest = np.fmin.accumulate(full.trace["loss"])
    return [(i + 1, float(each)) for i, each in enumerate(lowest) if i == 0 or each < lowest[i - 1]]


def rules(lowest):
    """`{name: optimizer}` of the rules; one of them is told the lowest loss."""
    named = {name: BatchGD(line_search=name) for name in ("barzilai_borwein", "ad_gd", "polyak", "cdat")}
    return {**named, "polyak, lowest known": BatchGD(line_search=Polyak(lowest=lowest))}


def compared(name):
    """One problem: the passes of each constant rate and of each rule to each level."""
    seen = improvements(name, BFGS())
    (_, start), (_, lowest) = seen[0], seen[-1]
    _, rates, shares = PROBLEMS[name]
    levels = [lowest + share * (start - lowest) for share in shares]
    of_rates = [passes_to(levels, improvements(name, BatchGD(rate))) for rate in rates]
    best = [best_of(rates, each) for each in zip(*of_rates, strict=True)]
    found = {}
    for rule, optimizer in rules(lowest).items():
        passes = passes_to(levels, improvements(name, optimizer))
        found[rule] = beside(passes, [each["passes"] for each in best])
        print(f"{name}, {rule}: {passes}, the best constant rates {best}", flush=True)
    constant = {f"{rate:g}": passes for rate, passes in zip(rates, of_rates, strict=True)}
    known = {"start": start, "lowest": lowest, "shares": shares, "levels": levels}
    return {**known, "constant": constant, "best": best, "rules": found}


def passes_to(levels, seen):
    return [calls_to(level, seen) for level in levels]


def best_of(rates, passes):
    """The rate that comes to a level first, and whether there are others on both sides of it."""
    known = [(each, i) for i, each in enumerate(passes) if each is not None]
    if not known:
        return {"rate": None, "passes": None, "is_inside": None}
    fewest, i = min(known)
    return {"rate": rates[i], "passes": fewest, "is_inside": 0 < i < len(rates) - 1}


def beside(passes, best):
    """The passes of a rule, their ratio to those of the best constant rate, and whether it is within the bound.

    The ratio is None where one of the two does not come to a level; where neither does, so is whether it holds.
    """
    pairs = list(zip(passes, best, strict=True))
    ratios = [one / other if one and other else None for one, other in pairs]
    return {"passes": passes, "ratios": ratios, "holds": [_holds(*pair) for pair in pairs]}


def _holds(passes, best):
    if passes is None or best is None:
        return True if passes else (False if best else None)
    return passes <= BOUND * best


def summary(problems):
    """Where each rule is not within the bound: `{rule: [(problem, share), ...]}`."""
    lost = {rule: [] for rule in next(iter(problems.values()))["rules"]}
    for name, found in problems.items():
        for rule, each in found["rules"].items():
            pairs = zip(found["shares"], each["holds"], strict=True)
            lost[rule] += [(name, share) for share, holds in pairs if holds is False]
    return lost


def main():
    with float64():
        problems = {name: compared(name) for name in PROBLEMS}
    settings = {"passes": CALL * CALLS, "bound": BOUND, "penalty": PENALTY}
    write("step_sizes", {"settings": settings, "loses": summary(problems), "problems": problems})


if __name__ == "__main__":
    main()
