"""The picture of a comparison: what each contender has reached after so many updates, epochs and seconds."""

import statistics

from recipes.report.search import COLOURS

STYLES = ("-", "--", ":", "-.")


def against(rows, metric):
    """Draw a metric of the validation part against updates, epochs and seconds, the median of the seeds.

    Args:
        rows: list of dicts, as `recipes.commands.compare.compare` gives them.
        metric: str, a column of metrics.csv.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        KeyError: it is not logged.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(13, 4.2), dpi=120, layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    labels = list(dict.fromkeys(row["contender"] for row in rows))
    for i, label in enumerate(labels):
        mine = [row for row in rows if row["contender"] == label]
        epochs = min(len(row["curve"]) for row in mine)
        middle = [statistics.median(float(row["curve"][e][metric]) for row in mine) for e in range(epochs)]
        seconds = [statistics.median(row["curve"][e]["seconds"] for row in mine) for e in range(epochs)]
        each = statistics.median(row["updates"] / row["epochs"] for row in mine)
        xs = [[each * (e + 1) for e in range(epochs)], list(range(1, epochs + 1)), seconds]
        for axes, x in zip(panels, xs, strict=True):
            style = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}
            axes.plot(x, middle, label=label, marker="." if epochs < 3 else None, **style)
    for axes, name in zip(panels, ("updates", "epochs", "seconds of training"), strict=True):
        axes.set(xscale="log", xlabel=name)
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    panels[0].set(ylabel=metric)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure
