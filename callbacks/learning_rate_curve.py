"""What follows from the losses of a learning-rate range test, by pure functions, and a picture of the losses."""

import numpy as np

from callbacks.write_whole import write_whole

FIRST = 5  # updates whose slope is left out, since their moving average is of few losses
CLEAR = 3.0  # the loss falls clearly if it falls by more than this many times the scatter from update to update,
LEAST = 1e-3  # and by more than this share of the loss, which rounding errors do not reach
RISE = 0.2  # of the whole fall: after it, and after a rise of more than `CLEAR` scatters, the test says nothing more


def smoothed_loss(smoothed, loss, smoothing):
    """The next value of an exponential moving average whose bias towards 0 is corrected.

    Args:
        smoothed: list of the values so far.
        loss: float, the next loss.
        smoothing: float in [0, 1), the share of the earlier losses.
    """
    n = len(smoothed)
    before = smoothed[-1] * (1 - smoothing**n) if smoothed else 0.0
    return (smoothing * before + (1 - smoothing) * loss) / (1 - smoothing ** (n + 1))


def before_a_rise(losses, smoothed):
    """How many updates there are before the loss has clearly risen; all, if it never does.

    What comes down from a spike falls fast, and says nothing about the rates there: the weights are others than those
    that were trained.
    """
    if len(smoothed) <= FIRST:
        return len(smoothed)
    lowest = np.minimum.accumulate(smoothed)
    scatter = 1.4826 * np.median(np.abs(np.diff(losses))) / np.sqrt(2)  # a spike counts once
    limit = max(CLEAR * scatter, RISE * (smoothed[FIRST] - lowest[-1]), LEAST * abs(smoothed[FIRST]))
    risen = np.flatnonzero(np.asarray(smoothed) - lowest > limit)
    return int(risen[0]) if len(risen) else len(smoothed)


def steepest_descent(rates, losses, smoothed):
    """Where the smoothed loss falls fastest on its way to the lowest point.

    Returns:
        `(index, "")`, or `(None, why)` if the loss does not clearly fall.
    """
    lowest = int(np.argmin(smoothed)) if smoothed else 0
    if lowest <= FIRST:
        return None, f"the loss was never lower than after the first {FIRST + 1} updates"
    scatter = np.std(np.diff(losses[FIRST : lowest + 1])) / np.sqrt(2)
    if smoothed[FIRST] - smoothed[lowest] <= max(CLEAR * scatter, LEAST * abs(smoothed[FIRST])):
        return None, "the loss did not fall by more than it scatters"
    slopes = np.gradient(smoothed[: lowest + 1], np.log(rates[: lowest + 1]))
    return FIRST + int(np.argmin(slopes[FIRST:])), ""


def draw_curve(path, finder):
    """Draw losses over rates, with the rates that a finder names, into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(finder.rates, finder.losses, ".", color="0.65", markersize=4, label="loss of one update's data")
    axes.plot(finder.rates, finder.smoothed, color="C0", label=f"moving average ({finder.smoothing:g})")
    if finder.suggestion is not None:
        _mark(axes, finder, finder.suggestion, "C2", "o", "suggestion")
    _mark(axes, finder, finder.lowest_loss_rate, "C3", "v", "lowest point")
    axes.set(xscale="log", ylim=_loss_range(finder.losses, finder.smoothed))
    axes.set(xlabel="learning rate of the update", ylabel="training loss before the update")
    axes.set_title("Learning-rate range test", loc="left")
    axes.grid(alpha=0.3)
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize="small")  # where it hides no point
    write_whole(path, figure.savefig)


def _mark(axes, finder, rate, colour, marker, what):
    loss = finder.smoothed[finder.rates.index(rate)]
    axes.axvline(rate, color=colour, alpha=0.4, linewidth=1)
    axes.plot([rate], [loss], marker, color=colour, label=f"{what}: {rate:.3g}")


def _loss_range(losses, smoothed):
    """The range of losses to show: from the lowest to the highest before the lowest point, not the rise at the end."""
    lowest = int(np.argmin(smoothed))
    top, bottom = max(losses[: lowest + 1]), min(losses)
    margin = 0.08 * (top - bottom) or 1.0
    return bottom - margin, top + 3 * margin
