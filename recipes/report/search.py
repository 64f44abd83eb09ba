"""The pictures of a search. Each takes its trials, dicts as `recipes.tuning.tune.tune` gives them.

Colours are those of Okabe and Ito, which colour-blind people can tell apart; marks differ too.
"""

import textwrap

from recipes.report.plain_text import plain_text
from recipes.report.scales import plain_powers

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#555555", "#000000")
MARKS = "osD^vP*X"
SHOWN = 5  # schedules drawn
WIDTH = 46  # characters of a line of their legend


@plain_text()
def rates(trials, metric, direction):
    """Draw the score of each trial against its learning rate, by family of schedule; larger marks trained longer.

    Args:
        trials: list of dicts.
        metric: str, what the score is.
        direction: "max" or "min".

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, axes = _figure()
    families = sorted({_family(row) for row in trials})
    longest = max(row["epochs"] for row in trials)
    for i, family in enumerate(families):
        mine = [row for row in _completed(trials) if _family(row) == family]
        axes.scatter(
            [row["settings"]["learning_rate"] for row in mine],
            [row["score"] for row in mine],
            [20 + 80 * row["epochs"] / longest for row in mine],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKS[i % len(MARKS)],
            alpha=0.75,
            label=family,
        )
    failed = [row["settings"]["learning_rate"] for row in trials if row["status"] == "FAILED"]
    if failed:
        bottom = 0.02 if direction == "max" else 0.98
        axes.plot(
            failed, [bottom] * len(failed), "x", color="0.4", transform=axes.get_xaxis_transform(), label="failed"
        )
    axes.set(xscale="log", xlabel="highest learning rate", ylabel=metric)
    plain_powers(axes.xaxis)
    _scale(axes, [row["score"] for row in _completed(trials)], direction)
    legend = _legend(axes)
    for handle in legend.legend_handles[: len(families)]:
        handle.set_sizes([30])
    return figure


@plain_text()
def progress(trials, metric, direction):
    """Draw the score of each trial by its budget, and the best so far, against the epochs trained until then.

    The best so far is what the search would return: the best of the longest budget that has been trained.

    Args, returns: as `rates`.
    """
    figure, axes = _figure()
    cost, best, points = 0, [], {}
    for row in sorted(trials, key=lambda row: row["order"]):
        cost += row["cost"]
        if row["status"] != "COMPLETED":
            continue
        points.setdefault(row["epochs"], []).append((cost, row["score"]))
        longest = points[max(points)]
        better = max if direction == "max" else min
        best.append((cost, better(score for _, score in longest)))
    for i, epochs in enumerate(sorted(points)):
        label = _epochs(epochs)
        axes.plot(*zip(*points[epochs], strict=True), MARKS[i % len(MARKS)], color=COLOURS[i], alpha=0.6, label=label)
    axes.step(*zip(*best, strict=True), where="post", color=COLOURS[4], label="best of the longest so far")
    axes.set(xlabel="epochs trained in all", ylabel=metric, xlim=(0, None))
    _scale(axes, [score for each in points.values() for _, score in each], direction)
    _legend(axes)
    return figure


@plain_text()
def schedules(trials, metric):
    """Draw the learning rate of the best trials over their updates: those that have `rates`, evenly over them.

    Args, returns: as `rates`.
    """
    figure, axes = _figure()
    for i, row in enumerate(row for row in trials if row.get("rates")):
        label = _wrapped(f"{row['score']:.4g} after {_epochs(row['epochs'])}: {row['settings']['schedule']}")
        shares = [100 * n / (len(row["rates"]) - 1) for n in range(len(row["rates"]))]
        axes.plot(shares, row["rates"], color=COLOURS[i % len(COLOURS)], lw=2.5 if i == 0 else 1.2, label=label)
    axes.set(xlabel="updates, %", ylabel="learning rate", ylim=(0, None))
    figure.set_figheight(4.8)
    style = {"fontsize": 10.5, "title_fontsize": 10.5, "alignment": "left", "frameon": False, "handlelength": 1.3}
    figure.legend(loc="outside lower left", title=metric, **style)
    return figure


def _wrapped(label):
    """In lines that are no wider than the picture; schedules have commas to break behind."""
    return "\n".join(textwrap.wrap(label.replace(",", ", "), WIDTH))


def _epochs(count):
    return f"{count} epoch{'s' if count > 1 else ''}"


def best_of_each(trials):
    """The best trial of each of the best configurations, whose schedules are drawn; `trials` has the best first."""
    of_each = {}
    for row in _completed(trials):
        of_each.setdefault(row["configuration"], row)
    return list(of_each.values())[:SHOWN]


def _completed(trials):
    return [row for row in trials if row["status"] == "COMPLETED"]


def _family(row):
    return row["settings"]["schedule"].partition(":")[0]


def _figure():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.4), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _scale(axes, scores, direction):
    """Losses over several powers of ten on a scale of powers."""
    positive = [score for score in scores if score > 0]
    if direction == "min" and len(positive) == len(scores) > 0 and max(positive) >= 30 * min(positive):
        axes.set(yscale="log")
        plain_powers(axes.yaxis)


def _legend(axes):
    return axes.legend(fontsize=9.5, framealpha=0.7)
