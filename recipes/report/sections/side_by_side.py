"""The sections that set several runs side by side: their curves, their results, and where their settings differ."""

import dataclasses
import statistics

from recipes import run as runs
from recipes.report import words
from recipes.report.page import Section, Table, picture_of_figure
from recipes.report.pictures.overlaid import overlaid

LEFT_OUT = ("seed",)  # of the settings of a group, whose runs are those of seeds


def sections_side_by_side(groups):
    """The sections, a list; an empty one unless there are several groups of runs, or several runs of one.

    Args:
        groups: dict from labels to lists of `recipes.run.Directory` of runs. Several of one group are those of seeds.

    Raises:
        WorldError: a file is damaged.
    """
    if len(groups) < 2 and all(len(found) < 2 for found in groups.values()):
        return []
    curves = overlaid({label: [runs.metrics_of(each.directory) for each in found] for label, found in groups.items()})
    several = any(len(found) > 1 for found in groups.values())
    text = "Of several seeds: the mean, and a band from the lowest to the highest." if several else ""
    pictures = [
        picture_of_figure(figure, _words_of(name, groups), _words_of(name, groups)) for name, figure in curves.items()
    ]
    return [
        Section("Side by side", [text] if text else [], pictures=pictures, tables=[_results(groups)]),
        *_differences(groups),
    ]


def _words_of(name, groups):
    return f"{name[0].upper()}{name[1:]} of {', '.join(groups)}"


def _results(groups):
    """What the runs came to: the figures that all have, of several seeds their means."""
    results = {label: [each.result for each in found if each.is_done] for label, found in groups.items()}
    every = [result for found in results.values() for result in found]
    names = [name for name in every[0] if all(_is_number(each.get(name)) for each in every)] if every else []
    rows = [
        [label, f"{len(found)} of {len(groups[label])}", *_figures(names, found)] for label, found in results.items()
    ]
    return Table(["run", "done", *names], rows)


def _figures(names, found):
    for name in names:
        yield words.figure(name, float(statistics.fmean(each[name] for each in found))) if found else "–"


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _differences(groups):
    """Yield a section with the settings that all groups have, and that are not the same in all."""
    settings = {}
    for label, (first, *more) in groups.items():
        recipe = {"recipe": first.recipe.name(), **dataclasses.asdict(first.recipe)}
        left_out = LEFT_OUT if more else ()
        computed = {name: first.config.get(name) for name in ("backend", "dtype")}
        settings[label] = {name: value for name, value in {**recipe, **computed}.items() if name not in left_out}
    names = [name for name in next(iter(settings.values())) if all(name in each for each in settings.values())]
    rows = [
        [name, *(words.value(each[name]) for each in settings.values())]
        for name in names
        if len({repr(each[name]) for each in settings.values()}) > 1
    ]
    if rows:
        yield Section("Settings that differ", tables=[Table(["setting", *settings], rows)])
