"""What a report says of what holds several trainings: a search, or a comparison."""

from recipes.errors import WorldError, one_line
from recipes.report.page import Section, Table, drawn, pixels
from recipes.run import read_json
from recipes.tables import rows_of

SHOWN = 30  # trials
# columns of trials.csv that are no searched settings, in the order in which they follow these
OF_TRIALS = ("epochs", "updates", "cost", "seconds", "status", "message", "order", "configuration", "rung")
COLUMNS = """\
Scores and losses are means of the seeds with 95 % intervals, all else medians. MiB is the peak of memory, clipped the
share of updates that were clipped, skipped the number of those that were left out."""
HEADS = {"cost": "cost, epochs"}


def sections_of_search(directory, metric, best, repeat):
    """Sections of the page.

    Args:
        directory: path of the search.
        metric: str, what trials are scored by.
        best: `(score, command)` of the best trial; None for a search that is not done.
        repeat: str, the command that searches again.
    """
    trials = rows_of(directory / "trials.csv")
    if best is None:
        return [Section("What was searched", ["Not done."], [repeat])]
    score, command = best
    words = {
        "rates": f"Score of each trial against its learning rate; the best has {metric} {score:.4g}",
        "progress": f"Scores, and the best so far, against the epochs trained until then; {metric} ends at {score:.4g}",
        "schedules": "Learning rates of the best trials over their updates",
    }
    pictures = [_picture(directory / f"{name}.png", text) for name, text in words.items()]
    texts = [f"The best of {len(trials)} trials has {metric} {score:.4g}. As a run:"]
    return [
        Section("What was searched", ["The command that searches again:"], [repeat]),
        Section("The best", texts, [command]),
        Section("Scores and learning rates", pictures=[each for each in pictures if each]),
        *_trials(trials),
    ]


def _trials(trials):
    if trials:
        more = f"The best {SHOWN} of {len(trials)}; all are in trials.csv." if len(trials) > SHOWN else ""
        names = [name for name in _ordered(trials[0]) if any(row[name] for row in trials[:SHOWN])]
        rows = [[_short(row[name]) for name in names] for row in trials[:SHOWN]]
        yield Section("Trials", [more] if more else [], tables=[Table([HEADS.get(n, n) for n in names], rows)])


def _ordered(columns):
    """What is looked for comes first, since a phone shows no more without being moved."""
    first = [name for name in ("trial", "score") if name in columns]
    searched = [name for name in columns if name not in (*first, *OF_TRIALS)]
    return [*first, *searched, *(name for name in OF_TRIALS if name in columns)]


def sections_of_comparison(directory, cells, verdicts, repeat):
    """Sections of the page.

    Args:
        directory: path of the comparison.
        cells: list of lists of str, names of columns first; None for a comparison that is not done.
        verdicts: list of str, which differences are within noise.
        repeat: str, the command that compares again.
    """
    if cells is None:
        return [Section("What was compared", ["Not done."], [repeat])]
    return [
        Section("What was compared", ["The command that compares again:"], [repeat]),
        Section("Result", [COLUMNS], pictures=_against(directory, cells), tables=[Table(cells[0], cells[1:])]),
        Section("Differences and noise", [line.strip() for line in verdicts]),
    ]


def _against(directory, cells):
    """Three pictures drawn for a page; the one of the command line where trainings are no longer there."""
    from recipes.report.comparison import each_against

    labels = [row[0] for row in cells[1:]]
    rows = [_with_curve(directory, row) for row in rows_of(directory / "seeds.csv")]
    metric = _logged(read_json(directory / "result.json")["score"], rows)
    if metric is None:
        words = f"Validation score against updates, epochs and seconds of {', '.join(labels)}"
        picture = _picture(directory / "comparison.png", words, "wide")
        return [picture] if picture else []
    begin = f"{metric}, the median of the seeds, against"
    return [
        drawn(figure, f"{begin} {name}, of {', '.join(labels)}", f"{begin} {name}")
        for name, figure in each_against(rows, metric).items()
    ]


def _logged(score, rows):
    """The score of the validation part, as all curves name it: `val_accuracy` for `test_accuracy`; None for none."""
    names = ("val_" + score.removeprefix("test_"), score)
    return next((n for n in names if rows and all(row["curve"] and n in row["curve"][0] for row in rows)), None)


def _with_curve(directory, row):
    from recipes.commands.compare import slug

    run = directory / slug(row["contender"]) / f"seed-{row['seed']}"
    curve, times = rows_of(run / "metrics.csv"), [float(each["seconds"]) for each in rows_of(run / "timing.csv")]
    timed = [{**each, "seconds": sum(times[: i + 1])} for i, each in enumerate(curve)]
    return {**row, "updates": float(row["updates"]), "epochs": float(row["epochs"]), "curve": timed}


def _picture(path, words, shape=""):
    from PIL import Image

    if not path.exists():
        return None
    try:
        with Image.open(path) as image:
            image.load()
            return pixels(image, words, words, shape)
    except Exception as error:  # whatever Pillow makes of a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error


def _short(text):
    """Fractions are rounded; whole numbers may be names, such as 0002."""
    if not text or text.isdigit():
        return text or ""
    try:
        return f"{float(text):.5g}"
    except ValueError:
        return text
