"""The pictures of a search. Each function takes its trials, a list of dicts as `recipes.tuning.tune` returns them."""

from matplotlib.figure import Figure

from recipes.report.pictures.colours import COLOURS
from recipes.report.pictures.plain_text import plain_text
from recipes.report.pictures.scales import plain_powers, wide_losses

MARKS = "osD^vP*X"  # markers of schedules and budgets, so that they differ without colours too


@plain_text()
def rates(trials, metric, direction):
    """Draw the score of each trial against its learning rate, with a marker for its optimizer or its schedule.

    A larger marker is a trial that was trained longer.

    Args:
        trials: list of dicts.
        metric: str, name of the score.
        direction: "max" or "min".

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure, axes = _figure()
    groups = sorted({_group(row) for row in trials})
    longest = max(row["epochs"] for row in trials)
    for i, group in enumerate(groups):
        mine = [row for row in _completed(trials) if _group(row) == group]
        axes.scatter(
            [row["settings"]["learning_rate"] for row in mine],
            [row["score"] for row in mine],
            [20 + 80 * row["epochs"] / longest for row in mine],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKS[i % len(MARKS)],
            alpha=0.75,
            label=group,
        )
    failed = [row["settings"]["learning_rate"] for row in trials if row["status"] == "FAILED"]
    if failed:
        bottom = 0.02 if direction == "max" else 0.98
        axes.plot(
            failed, [bottom] * len(failed), "x", color="0.4", transform=axes.get_xaxis_transform(), label="failed"
        )
    axes.set(xscale="log", xlabel="highest learning rate", ylabel=metric)
    plain_powers(axes.xaxis)
    wide_losses(axes, [row["score"] for row in _completed(trials)], direction)
    legend = _legend(axes)
    for handle in legend.legend_handles[: len(groups)]:
        handle.set_sizes([30])
    return figure


@plain_text()
def progress(trials, metric, direction):
    """Draw the score of each trial by its budget, and the best so far, against the epochs trained until then.

    The best so far is the trial that the search would return: the best of the longest budget trained until then.

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
    wide_losses(axes, [score for each in points.values() for _, score in each], direction)
    _legend(axes)
    return figure


@plain_text()
def schedules(trials, metric):
    """Draw the schedules of the best trials, those that have `rates`, as shares of their highest rate.

    Args, returns: as `rates`.
    """
    figure, axes = _figure()
    for i, row in enumerate(row for row in trials if row.get("rates")):
        shares = [100 * n / (len(row["rates"]) - 1) for n in range(len(row["rates"]))]
        highest = max(row["rates"])
        label = f"{row['trial']}: {row['score']:.4g}, {_family(row)} from {highest:.2g}"
        of_highest = [rate / highest for rate in row["rates"]]
        axes.plot(shares, of_highest, color=COLOURS[i % len(COLOURS)], lw=2.5 if i == 0 else 1.2, label=label)
    axes.set(xlabel="updates of the longest trial, %", ylabel="share of the highest rate", ylim=(0, 1.05))
    figure.set_figheight(4.3)
    style = {"fontsize": 10.5, "title_fontsize": 10.5, "alignment": "left", "frameon": False, "handlelength": 1.3}
    figure.legend(loc="outside lower left", title=f"trial: {metric}", **style)
    return figure


def _epochs(count):
    return f"{count} epoch{'s' if count > 1 else ''}"


def _completed(trials):
    return [row for row in trials if row["status"] == "COMPLETED"]


def _family(row):
    """The name of a trial's schedule, without its parameters."""
    return row["settings"].get("schedule", "trials").partition(":")[0]  # a recipe may have no schedules


def _group(row):
    """What trials are told apart by: optimizers if they were searched, whose rates differ most, or else schedules."""
    searched = row.get("searched", {})
    return searched["optimizer"].partition(":")[0] if "optimizer" in searched else _family(row)


def _figure():
    figure = Figure(figsize=(4.8, 3.4), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _legend(axes):
    return axes.legend(fontsize=9.5, framealpha=0.7)
