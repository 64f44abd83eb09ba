import itertools

from recipes.report import words
from recipes.report.page import Section, Table


def environment(starts):
    """Yield a section on the machines and versions of all starts; nothing if there is no record of them.

    Args:
        starts: list of dicts, as `recipes.run.Directory` has them.
    """
    if starts:
        tables = [
            Table([f"start {number}", ""], [[name, _of_start(name, each[name])] for name in each if name not in same])
            for number, (each, same) in enumerate(zip(starts, _same_as_before(starts), strict=True), 1)
        ]
        about = ["Of a later start, only what is not as it was at the one before."] if len(starts) > 1 else []
        yield Section("Machine and versions", about, tables=tables)


def _same_as_before(starts):
    """Of each start, the names of what is as it was at the one before."""
    return [set(), *({n for n in after if after[n] == before.get(n)} for before, after in itertools.pairwise(starts))]


def _of_start(name, value):
    return words.minute(value) if name == "date" else words.value(value)
