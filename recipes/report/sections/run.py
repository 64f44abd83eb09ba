"""The sections of a page about a run: outcome, curves, mistakes or samples, result, settings, data, machine."""

from matplotlib.figure import Figure

from recipes import run as runs
from recipes.report import words
from recipes.report.page import Section, Table, picture_of_figure
from recipes.report.pictures.curves import MORE_PANELS, PANELS, draw, lines_of, panels
from recipes.report.sections.confusion import sections_of_confusion
from recipes.report.sections.environment import environment
from recipes.report.sections.fields import sections_of_fields
from recipes.report.sections.file_picture import file_picture
from recipes.settings.presets import changed
from recipes.settings.quantities import counted

SAMPLES = 4  # pictures of a GAN's samples, that of real images among them, at most


def sections_of_run(found, repeat):
    """The sections, a list.

    Args:
        found: `recipes.run.Directory` of a run or a trial.
        repeat: str, the command that trains it again.

    Raises:
        WorldError: a file is damaged.
    """
    rows = runs.metrics_of(found.directory)
    about = found.config.get("trained_on") or {}
    return [
        _what(found, len(rows), repeat),
        *_curves(rows),
        *sections_of_confusion(found.directory, about.get("classes", [])),
        *_samples(found.directory),
        *sections_of_fields(found.directory),
        *_table("Result", _without(found.result or {}, "of"), words.figure),
        _settings(found),
        *_table("Data", about),
        *environment(found.starts),
    ]


def _what(found, made, repeat):
    """The first section: the outcome, the date, and the command."""
    outcome = words.outcome_of(found) or f"Not done: {made} of {found.recipe.epochs} epochs."
    date = found.starts[0].get("date", "") if found.starts else ""
    begun = [f"Begun {words.minute(date)}."] if date else []
    return Section("What was run", [outcome, *begun, *_raised(found)], [repeat])


def _raised(found):
    """Yield a sentence on a run whose epochs were raised, if the command from scratch gives another one."""
    epochs = list(dict.fromkeys(start["epochs"] for start in found.starts if "epochs" in start))
    if len(epochs) > 1 and found.recipe.horizon_matters:
        before = ", then of ".join(map(str, epochs[:-1]))
        yield (
            f"It was begun with the schedule of {before} epochs, and raised to {epochs[-1]} later: from scratch, this "
            f"command has the schedule of {epochs[-1]} from the first update on, and gives another run."
        )


def _curves(rows):
    pictures = []
    for panel in panels(rows, (*PANELS, *MORE_PANELS)):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        draw(figure.subplots(), panel, rows)
        text = _words_of(panel, rows)
        pictures.append(picture_of_figure(figure, text, text))
    if pictures:
        yield Section("Curves", pictures=pictures)


def _words_of(panel, rows):
    """The alternative text of a panel."""
    lines = [(name, line) for name, line in lines_of(panel, rows).items() if line]
    each = [f"{name} from {line[0][1]:.4g} to {line[-1][1]:.4g}" for name, line in lines]
    epochs = counted(lines[0][1][-1][0], "epoch")
    return f"{panel[0][0].upper()}{panel[0][1:]} over {epochs}: {'; '.join(each)}"


def _samples(directory):
    """Yield a section with pictures that a GAN has made from the same noise, evenly spaced over the training."""
    paths = runs.pictures_of(directory, "samples")
    if not paths:
        return
    real = [file_picture(path, "Real images", "Real images", "grid") for path in _real(directory)]
    epochs, count = list(paths), SAMPLES - len(real)
    chosen = [epochs[round(i * (len(epochs) - 1) / (count - 1))] for i in range(count)]
    pictures = [_sample(paths[epoch], epoch) for epoch in dict.fromkeys(chosen)]
    yield Section("Samples of the same noise", pictures=[*pictures, *real])


def _real(directory):
    return list(runs.pictures_of(directory, "real").values())[-1:]


def _sample(path, epoch):
    return file_picture(path, f"Samples after epoch {epoch}", f"After epoch {epoch}", "grid")


def _settings(found):
    """What was changed of the settings and how it was computed; all else is folded."""
    every = _without(found.config, "trained_on")
    usual = found.recipe.settings().keys() - changed(found.recipe).keys() - {"variant"}
    rows = {name: [name, words.value(each)] for name, each in every.items()}
    told = [row for name, row in rows.items() if name not in usual]
    others = [row for name, row in rows.items() if name in usual]
    tables = [Table(["name", "value"], told)]
    if others:
        tables.append(Table(["name", "value"], others, f"{counted(len(others), 'setting')} as usual"))
    return Section("Settings", tables=tables)


def _without(values, left_out):
    return {name: value for name, value in values.items() if name != left_out}


def _table(title, values, written=lambda name, each: words.value(each)):
    if values:
        rows = [[name, written(name, each)] for name, each in values.items()]
        yield Section(title, tables=[Table(["name", "value"], rows)])
