"""What a report says of what holds several trainings: a search, or a comparison."""

from recipes.errors import WorldError, one_line
from recipes.machine.regular_file import open_regular
from recipes.report.page import Section, Table, drawn, pixels
from recipes.run.run import read_json
from recipes.run.tables import rows_of

SHOWN = 30  # trials
# columns of trials.csv that are no searched settings, in the order in which they follow these
OF_TRIALS = ("epochs", "updates", "cost", "seconds", "status", "message", "order", "configuration", "rung")
COLUMNS = """\
Scores and losses are means of the seeds with 95 % intervals, all else medians. MiB is the peak of memory, clipped the
share of updates that were clipped, skipped the number of those that were left out."""
NOT_DONE = "Not done. The command that goes on with it:"
OF_SEARCH = {
    "rates": "Score of each trial against its learning rate",
    "progress": "Scores, and the best so far, against the epochs trained until then",
    "schedules": "Learning rates of the best trials over their updates",
}
HEADS = {"cost": "cost, epochs"}


def sections_of_search(directory, metric, best, repeat):
    """Sections of the page.

    Args:
        directory: path of the search.
        metric: str, what trials are scored by.
        best: `(score, command)` of the best trial; None for a search that is not done.
        repeat: str, the command that was given last.
    """
    trials = rows_of(directory / "trials.csv")
    if best is None:
        return [Section("What was searched", [NOT_DONE], [repeat])]
    score, command = best
    words = _best(directory, metric, score)
    pictures = [_picture(directory / f"{name}.png", f"{text}; {words}", text) for name, text in OF_SEARCH.items()]
    texts = [f"The best of {len(trials)} trials has {metric} {score:.4g}. As a run:"]
    return [
        Section("What was searched", [_again("search", repeat)], [repeat]),
        Section("The best", texts, [command]),
        Section("Scores and learning rates", pictures=[each for each in pictures if each]),
        *_trials(trials),
    ]


def _again(kind, command):
    """What the command of a search or a comparison that is done does when it is given once more."""
    names_it = any(option in command for option in ("--run-dir", "--storage"))
    return f"Shows this {kind} again, or goes on with it:" if names_it else f"Begins another {kind} like this one:"


def _best(directory, metric, score):
    """The best trial in words."""
    settings = (read_json(directory / "result.json") or {}).get("best", {}).get("settings", {})
    names = [name for name in ("optimizer", "learning_rate", "schedule") if settings.get(name) is not None]
    values = [f"{name.replace('_', ' ')} {_short(str(settings[name]))}" for name in names]
    return ", ".join([f"the best has {metric} {score:.4g}", *values])


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
        repeat: str, the command that was given last.
    """
    if cells is None:
        return [Section("What was compared", [NOT_DONE], [repeat])]
    return [
        Section("What was compared", [_again("comparison", repeat)], [repeat]),
        Section("Result", [COLUMNS], pictures=_against(directory, cells), tables=[Table(cells[0], cells[1:])]),
        Section("Differences and noise", [line.strip() for line in verdicts]),
    ]


def _against(directory, cells):
    """Three pictures drawn for a page; the one of the command line where trainings are no longer there."""
    from recipes.report.comparison import each_against

    best = ", ".join(f"{name} {cell}" for name, cell in zip(cells[0][:3], cells[1][:3], strict=True))
    ends = f"of {', '.join(row[0] for row in cells[1:])}; the best: {best}"
    rows = [_with_curve(directory, row) for row in rows_of(directory / "seeds.csv")]
    metric = _logged(read_json(directory / "result.json")["score"], rows)
    if metric is None:
        words = "Validation score against updates, epochs and seconds"
        picture = _picture(directory / "comparison.png", f"{words}, {ends}", words, "wide")
        return [picture] if picture else []
    begin = f"{metric}, the median of the seeds, against"
    return [
        drawn(figure, f"{begin} {name}, {ends}", f"{begin} {name}")
        for name, figure in each_against(rows, metric).items()
    ]


def _logged(score, rows):
    """The score of the validation part, as all curves name it: `val_accuracy` for `test_accuracy`; None for none."""
    names = ("val_" + score.removeprefix("test_"), score)
    return next((n for n in names if rows and all(row["curve"] and n in row["curve"][0] for row in rows)), None)


def _with_curve(directory, row):
    from recipes.comparison.compare import slug

    run = directory / slug(row["contender"]) / f"seed-{row['seed']}"
    curve, times = rows_of(run / "metrics.csv"), [float(each["seconds"]) for each in rows_of(run / "timing.csv")]
    timed = [{**each, "seconds": sum(times[: i + 1])} for i, each in enumerate(curve)]
    return {**row, "updates": float(row["updates"]), "epochs": float(row["epochs"]), "curve": timed}


def _picture(path, words, caption, shape=""):
    from PIL import Image

    if not path.exists():
        return None
    try:
        with open_regular(path) as file, Image.open(file) as image:
            image.load()
            return pixels(image, words, caption, shape)
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
