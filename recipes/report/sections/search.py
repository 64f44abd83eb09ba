"""The sections of a page about a search."""

import typing

from recipes import run as runs
from recipes.report.page import Section, Table
from recipes.report.sections.command import section_of_command
from recipes.report.sections.file_picture import file_picture
from recipes.run import names

SHOWN = 30  # trials
# columns of trials.csv that are not searched settings; in a table they stand behind these, in this order
OF_TRIALS = ("epochs", "updates", "cost", "seconds", "status", "message", "order", "configuration", "rung")
HEADS = {"cost": "cost, epochs"}
PICTURES = {
    names.RATES_PICTURE: "Score of each trial against its learning rate; a larger mark was trained longer",
    names.PROGRESS_PICTURE: "Scores, and the best so far, against the epochs trained until then",
    names.SCHEDULES_PICTURE: "Schedules of the best trials, as they are in the longest",
}


class Best(typing.NamedTuple):
    """The best trial of a search.

    Args:
        score: float.
        command: str, the command that trains with its settings.
        settings: dict.
        without: names of those that have no effect beside its line search.
    """

    score: float
    command: str
    settings: dict
    without: tuple = ()


def sections_of_search(directory, metric, best, repeat):
    """The sections, a list.

    Args:
        directory: `pathlib.Path` of the search.
        metric: str, name of the score of trials.
        best: `Best`; None for a search that is not done.
        repeat: str, the command that was given last.

    Raises:
        WorldError: a file is damaged.
    """
    first = section_of_command("What was searched", "search", repeat, best is not None)
    if best is None:
        return [first]
    trials = runs.rows_of(directory / names.TRIALS)
    return [
        first,
        Section("The best", [_how_good(trials, metric, best)], [best.command]),
        Section("Scores and learning rates", pictures=list(_pictures(directory, metric, best))),
        *_trials(trials),
    ]


def _how_good(trials, metric, best):
    return f"The best of {len(trials)} trials has {metric} {best.score:.4g}. As a run:"


def _pictures(directory, metric, best):
    """Yield the pictures of the search that exist."""
    words = _in_words(metric, best)
    for name, text in PICTURES.items():
        path = directory / name
        if path.exists():
            yield file_picture(path, f"{text}; {words}", text)


def _in_words(metric, best):
    """The best trial in words."""
    names = ("optimizer", "line_search", "learning_rate", "schedule")
    given = [name for name in names if best.settings.get(name) is not None and name not in best.without]
    values = [f"{name.replace('_', ' ')} {_short(str(best.settings[name]))}" for name in given]
    return ", ".join([f"the best has {metric} {best.score:.4g}", *values])


def _trials(trials):
    if trials:
        more = f"The best {SHOWN} of {len(trials)}; all are in {names.TRIALS}." if len(trials) > SHOWN else ""
        columns = [name for name in _ordered(trials[0]) if any(row[name] for row in trials[:SHOWN])]
        rows = [[_short(row[name]) for name in columns] for row in trials[:SHOWN]]
        yield Section("Trials", [more] if more else [], tables=[Table([HEADS.get(n, n) for n in columns], rows)])


def _ordered(columns):
    """Columns with the most important ones first, since a phone shows only the first ones without scrolling."""
    first = [name for name in ("trial", "score") if name in columns]
    searched = [name for name in columns if name not in (*first, *OF_TRIALS)]
    return [*first, *searched, *(name for name in OF_TRIALS if name in columns)]


def _short(text):
    """Round fractions. Whole numbers stay as they are, since they may be names such as 0002."""
    if not text or text.isdigit():
        return text or ""
    try:
        return f"{float(text):.5g}"
    except ValueError:
        return text
