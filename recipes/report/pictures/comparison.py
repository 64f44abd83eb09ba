"""The pictures of a comparison: the score of each contender against updates, epochs and seconds."""

import statistics

from matplotlib.figure import Figure

from recipes.report.pictures.colours import COLOURS
from recipes.report.pictures.plain_text import plain_text
from recipes.report.pictures.scales import plain_powers, wide_losses

STYLES = ("-", "--", ":", "-.")
AGAINST = ("updates", "epochs", "seconds of training")


@plain_text()
def against(rows, metric):
    """Draw the median of a validation metric over the seeds, against updates, epochs and seconds.

    Args:
        rows: list of dicts, one for each run, as `recipes.comparison.compare` returns them.
        metric: str, a column of metrics.csv.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        KeyError: the metric was not logged.
    """
    figure = Figure(figsize=(13, 4.2), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    lines = _lines(rows, metric)
    for axes, name in zip(panels, AGAINST, strict=True):
        _draw(axes, lines, name)
    panels[0].set(ylabel=metric)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


@plain_text()
def each_against(rows, metric):
    """Draw the same as three figures, which a phone can show below each other.

    Args:
        rows, metric: as for `against`.

    Returns:
        A dict from each of `AGAINST` to a `matplotlib.figure.Figure`.
    """
    lines = _lines(rows, metric)
    columns = max(1, 72 // (6 + max(map(len, lines))))
    figures = {}
    for name in AGAINST:
        figure = figures[name] = Figure(figsize=(4.6, 3 + 0.17 * -(-len(lines) // columns)), layout="constrained")
        axes = figure.subplots()
        _draw(axes, lines, name)
        axes.set(ylabel=metric)
        figure.legend(loc="outside lower left", fontsize=8, ncols=columns, frameon=False)
    return figures


@plain_text()
def rates(rows, metric, direction, best=None):
    """Draw the score of each learning rate that was tried for each contender.

    Args:
        rows: list of dicts with `contender`, `learning_rate` and `score`, None where training has failed.
        metric: str, name of the score.
        direction: "max" or "min": where failures are drawn.
        best: dict from contenders to the rate that each was trained with, which gets a larger mark.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    labels = list(dict.fromkeys(row["contender"] for row in rows))
    columns = max(1, 72 // (6 + max(map(len, labels))))
    figure = Figure(figsize=(4.6, 3 + 0.17 * -(-len(labels) // columns)), layout="constrained")
    axes = figure.subplots()
    for i, label in enumerate(labels):
        colour, style = COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS) % len(STYLES)]
        mine = [(row["learning_rate"], row["score"]) for row in rows if row["contender"] == label]
        done = [each for each in mine if each[1] is not None]
        axes.plot(*zip(*done, strict=True), style, marker=".", color=colour, label=label)
        chosen = [each for each in done if each[0] == (best or {}).get(label)]
        axes.plot([rate for rate, _ in chosen], [score for _, score in chosen], "o", markersize=8, color=colour)
        failed = [rate for rate, score in mine if score is None]
        bottom = 0.02 if direction == "max" else 0.98
        axes.plot(failed, [bottom] * len(failed), "x", color=colour, transform=axes.get_xaxis_transform())
    axes.set(xscale="log", xlabel="learning rate", ylabel=metric)
    plain_powers(axes.xaxis)
    wide_losses(axes, [row["score"] for row in rows if row["score"] is not None], direction)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower left", fontsize=8, ncols=columns, frameon=False)
    return figure


def _lines(rows, metric):
    """The line of each contender: a dict from labels to `(values, places)`, as `_line` returns them."""
    labels = dict.fromkeys(row["contender"] for row in rows)
    return {label: _line([row for row in rows if row["contender"] == label], metric) for label in labels}


def _line(rows, metric):
    """Medians of a metric over the seeds, one for each epoch, and a dict from each of `AGAINST` to their x values."""
    epochs = min(len(row["curve"]) for row in rows)
    middle = [statistics.median(float(row["curve"][e][metric]) for row in rows) for e in range(epochs)]
    seconds = [statistics.median(row["curve"][e]["seconds"] for row in rows) for e in range(epochs)]
    each = statistics.median(row["updates"] / row["epochs"] for row in rows)
    places = ([each * (e + 1) for e in range(epochs)], list(range(1, epochs + 1)), seconds)
    return middle, dict(zip(AGAINST, places, strict=True))


def _draw(axes, lines, name):
    for i, (label, (values, places)) in enumerate(lines.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}
        axes.plot(places[name], values, label=label, marker="." if len(values) < 3 else None, **style)
    axes.set(xscale="log", xlabel=name)
    plain_powers(axes.xaxis)
    axes.grid(alpha=0.3)
