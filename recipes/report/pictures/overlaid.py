"""The learning curves of several runs, laid over each other."""

import statistics

from matplotlib.figure import Figure

from recipes.report.pictures.colours import COLOURS
from recipes.report.pictures.plain_text import plain_text
from recipes.report.pictures.scales import plain_powers

SHOWN = {  # columns of metrics.csv, by their labels, and whether the scale may be logarithmic
    "training loss": ("loss", True),
    "validation loss": ("val_loss", True),
    "training accuracy": ("accuracy", False),
    "validation accuracy": ("val_accuracy", False),
    "Fréchet classifier distance": ("distance", True),
}


@plain_text()
def overlaid(groups):
    """Draw what all runs have logged, with a line for each group of runs.

    Args:
        groups: dict from labels to lists of runs, each a list of the rows of its metrics.csv. Several runs are those of
            seeds: the line is their mean, and a band goes from the lowest to the highest.

    Returns:
        A dict from what is drawn to a `matplotlib.figure.Figure`.
    """
    found = {}
    for label, (column, may_be_log) in SHOWN.items():
        lines = {name: _line(runs, column) for name, runs in groups.items()}
        if all(lines.values()):
            found[label] = _drawn(label, lines, may_be_log)
    return found


def _line(runs, column):
    """`(epoch, mean, lowest, highest)` of each epoch that all runs of a group have a value of, a list."""
    values = [{int(row["epoch"]) + 1: float(row[column]) for row in rows if row.get(column)} for rows in runs]
    epochs = sorted(set.intersection(*map(set, values))) if values else []
    of = {epoch: [each[epoch] for each in values] for epoch in epochs}
    return [(epoch, statistics.fmean(each), min(each), max(each)) for epoch, each in of.items()]


def _drawn(label, lines, may_be_log):
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    lowest, highest = (
        choose(choose(row[i] for row in line) for line in lines.values()) for i, choose in ((2, min), (3, max))
    )
    for number, (name, line) in enumerate(lines.items()):
        epochs, means, low, high = zip(*line, strict=True)
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(epochs, means, label=name, color=colour, marker="." if len(line) < 3 else None)
        if low != high:
            axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    is_log = may_be_log and lowest > 0 and highest >= 10 * lowest
    axes.set(xlabel="epoch", ylabel=label, yscale="log" if is_log else "linear")
    if is_log:
        plain_powers(axes.yaxis)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    return figure
