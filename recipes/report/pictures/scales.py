from matplotlib.ticker import LogLocator, NullFormatter


def plain_powers(axis):
    """Write the ticks of a logarithmic axis as 0.02 and 0.5; a short axis has three ticks for each power of ten.

    Args:
        axis: `matplotlib.axis.Axis` whose limits are final.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def wide_losses(axes, scores, direction):
    """Use a logarithmic axis for losses whose range is wide.

    Args:
        axes: `matplotlib.axes.Axes`.
        scores: list of floats.
        direction: "max" or "min"; scores of the first are no losses.
    """
    positive = [score for score in scores if score > 0]
    if direction == "min" and len(positive) == len(scores) > 0 and max(positive) >= 30 * min(positive):
        axes.set(yscale="log")
        plain_powers(axes.yaxis)
