"""The sections of a page about a comparison."""

import typing

from recipes import comparison
from recipes import run as runs
from recipes.report import comparison as pictures
from recipes.report.compared import rates_of
from recipes.report.page import Section, Table, picture_of_figure
from recipes.report.sections.command import section_of_command
from recipes.report.sections.file_picture import file_picture

COLUMNS = """\
Scores and losses are means over the seeds with 95 % intervals; all other columns are medians. rate: the learning rate
that was searched for; a line search finds the steps by itself, and each evaluation of it is a pass over the samples.
passes and seconds to a target: until the validation score, or the training loss of an epoch as it is logged, was there
for the first time. MiB: the largest memory. clipped: the share of updates whose gradient was clipped. skipped: the
number of updates that were left out."""


class Compared(typing.NamedTuple):
    """The result of a comparison.

    Args:
        score: str, name of the score by which contenders are ranked.
        cells: list of lists of str; the first list has the names of the columns.
        verdicts: list of str, lines that say which differences are within noise.
        objective: `(name, "max" or "min")`, what learning rates were searched by.
        rates: dict from contenders to their learning rates, None for a line search.
    """

    score: str
    cells: list
    verdicts: list
    objective: tuple
    rates: dict


def sections_of_comparison(directory, compared, repeat):
    """The sections, a list.

    Args:
        directory: `pathlib.Path` of the comparison.
        compared: `Compared`; None for a comparison that is not done.
        repeat: str, the command that was given last.

    Raises:
        WorldError: a file is damaged.
    """
    first = section_of_command("What was compared", "comparison", repeat, compared is not None)
    if compared is None:
        return [first]
    columns, *rows = compared.cells
    return [
        first,
        Section("Result", [COLUMNS], pictures=_pictures(directory, compared), tables=[Table(columns, rows)]),
        *_rates(directory, compared),
        Section("Differences and noise", [line.strip() for line in compared.verdicts]),
    ]


def _rates(directory, compared):
    """Yield the section on the learning rates that were tried; none in comparisons of older versions."""
    tried = rates_of(directory)
    if not tried:
        return
    text = "Each mark is a training; the larger one is the rate that the seeds were trained with, a cross a failure."
    best = "; ".join(f"{label} {rate:.3g}" for label, rate in compared.rates.items() if rate is not None)
    caption = f"{compared.objective[0]} of each learning rate that was tried"
    figure = pictures.rates(tried, *compared.objective, compared.rates)
    words = f"{caption}; trained with: {best}"
    yield Section("Learning rates that were tried", [text], pictures=[picture_of_figure(figure, words, caption)])


def _pictures(directory, compared):
    """Three pictures for a page; if the runs were deleted, the picture that the command `compare` has written."""
    columns, *rows = compared.cells
    best = ", ".join(f"{name} {cell}" for name, cell in zip(columns[:3], rows[0][:3], strict=True))
    ends = f"of {', '.join(row[0] for row in rows)}; the best: {best}"
    trainings = [_with_curve(directory, row) for row in runs.rows_of(directory / runs.names.SEEDS)]
    trainings = [row for row in trainings if row["curve"] or row["diverged"] != "True"]  # diverged: maybe no epoch
    metric = _logged(compared.score, trainings)
    if metric is None:
        return _picture_of_the_command(directory / runs.names.COMPARISON_PICTURE, ends)
    begin = f"{metric}, the median of the seeds, against"
    return [
        picture_of_figure(figure, f"{begin} {name}, {ends}", f"{begin} {name}")
        for name, figure in pictures.each_against(trainings, metric).items()
    ]


def _picture_of_the_command(path, ends):
    words = "Validation score against updates, epochs and seconds"
    return [file_picture(path, f"{words}, {ends}", words, "wide")] if path.exists() else []


def _logged(score, rows):
    """The column of all curves with the score on the validation part, such as `val_accuracy`; None if it is missing."""
    names = ("val_" + score.removeprefix("test_"), score)
    return next((n for n in names if rows and all(row["curve"] and n in row["curve"][0] for row in rows)), None)


def _with_curve(directory, row):
    """A row of seeds.csv with the learning curve of its run, in which each epoch has the seconds until its end."""
    contender = comparison.Contender(row["contender"], {})
    run = runs.directory_of_seed(directory / contender.directory, row["seed"])
    curve, times = runs.metrics_of(run), runs.seconds_of(run)
    timed = [{**each, "seconds": sum(times[: i + 1])} for i, each in enumerate(curve)]
    return {**row, "updates": float(row["updates"]), "epochs": float(row["epochs"]), "curve": timed}
