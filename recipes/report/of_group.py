"""What a report says of what holds several trainings: a search, or a comparison."""

from recipes.errors import WorldError, one_line
from recipes.report.page import Section, Table, pixels
from recipes.tables import rows_of

SHOWN = 30  # trials


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
        Section("Pictures", pictures=[each for each in pictures if each]),
        *_trials(trials),
    ]


def _trials(trials):
    if trials:
        more = f"The best {SHOWN} of {len(trials)}; all are in trials.csv." if len(trials) > SHOWN else ""
        rows = [[_short(value) for value in row.values()] for row in trials[:SHOWN]]
        yield Section("Trials", [more] if more else [], tables=[Table(list(trials[0]), rows)])


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
    words = f"Validation score against updates, epochs and seconds of {', '.join(row[0] for row in cells[1:])}"
    picture = _picture(directory / "comparison.png", words, wide=True)
    return [
        Section("What was compared", ["The command that compares again:"], [repeat]),
        Section("Result", pictures=[picture] if picture else [], tables=[Table(cells[0], cells[1:])]),
        Section("What is more than noise", [line.strip() for line in verdicts]),
    ]


def _picture(path, words, wide=False):
    from PIL import Image

    if not path.exists():
        return None
    try:
        with Image.open(path) as image:
            image.load()
            return pixels(image, words, wide=wide)
    except Exception as error:  # whatever Pillow makes of a file that is damaged
        raise WorldError(f"{path} is damaged: {one_line(error)}") from error


def _short(text):
    try:
        return f"{float(text):.5g}"
    except (TypeError, ValueError):
        return text or ""
