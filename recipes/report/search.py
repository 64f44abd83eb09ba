"""The pictures of a search. Each takes its trials, dicts as `recipes.commands.tune.tune` gives them.

Colours are those of Okabe and Ito, which colour-blind people can tell apart; marks differ too.
"""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
MARKS = "osD^vP*X"
SHOWN = 5  # schedules drawn
POINTS = 200  # of each


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
    _scale(axes, [row["score"] for row in _completed(trials)], direction)
    _legend(axes)
    return figure


def progress(trials, metric, direction):
    """Draw the score of each trial of the longest budget, and the best so far, against the epochs trained until then.

    Args, returns: as `rates`.
    """
    figure, axes = _figure()
    longest = max(row["epochs"] for row in trials)
    cost, points, best = 0, [], []
    for row in sorted(trials, key=lambda row: row["order"]):
        cost += row["cost"]
        if row["status"] == "COMPLETED" and row["epochs"] == longest:
            better = max if direction == "max" else min
            points.append((cost, row["score"]))
            best.append((cost, row["score"] if not best else better(best[-1][1], row["score"])))
    axes.plot(*zip(*points, strict=True), "o", color=COLOURS[0], alpha=0.5, label=f"trials of {longest} epochs")
    best.append((cost, best[-1][1]))
    axes.step(*zip(*best, strict=True), where="post", color=COLOURS[4], label="best so far")
    axes.set(xlabel="epochs trained in all", ylabel=metric, xlim=(0, None))
    _scale(axes, [score for _, score in points], direction)
    _legend(axes)
    return figure


def schedules(trials, metric, direction):
    """Draw the learning rate of the best trials over their updates.

    Args, returns: as `rates`.
    """
    import numpy as np
    from keras import ops

    from recipes.schedules import make_schedule

    figure, axes = _figure()
    updates = 1000
    shares = np.linspace(0, 1, POINTS)
    for i, row in enumerate(_best(trials, direction)):
        rate = make_schedule(row["settings"]["schedule"], row["settings"]["learning_rate"], updates)
        values = [
            float(ops.convert_to_numpy(rate(min(int(share * updates), updates - 1)))) if callable(rate) else rate
            for share in shares
        ]
        label = f"{row['score']:.4g}: {row['settings']['schedule']}"
        axes.plot(100 * shares, values, color=COLOURS[i % len(COLOURS)], lw=2.5 if i == 0 else 1.2, label=label)
    axes.set(xlabel="updates, %", ylabel="learning rate", ylim=(0, None))
    axes.legend(frameon=False, fontsize=7, title=metric, title_fontsize=8)
    return figure


def _best(trials, direction):
    """The best trials of the longest budget, one of each configuration."""
    done = _completed(trials)
    longest = max(row["epochs"] for row in done)
    sign = -1 if direction == "max" else 1
    return sorted((row for row in done if row["epochs"] == longest), key=lambda row: sign * row["score"])[:SHOWN]


def _completed(trials):
    return [row for row in trials if row["status"] == "COMPLETED"]


def _family(row):
    return row["settings"]["schedule"].partition(":")[0]


def _figure():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _scale(axes, scores, direction):
    """Losses over several powers of ten on a scale of powers."""
    positive = [score for score in scores if score > 0]
    if direction == "min" and len(positive) == len(scores) > 0 and max(positive) >= 30 * min(positive):
        axes.set(yscale="log")


def _legend(axes):
    axes.legend(frameon=False, fontsize=8)
