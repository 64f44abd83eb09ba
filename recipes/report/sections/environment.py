import itertools

from recipes.report import words
from recipes.report.page import Section, Table


def environment(starts):
    """Yield a section on the machine and the versions at each start; none if they were not recorded.

    Args:
        starts: list of dicts, as in `recipes.run.Directory`.
    """
    if starts:
        tables = [
            Table([f"start {number}", ""], [[name, _of_start(name, each[name])] for name in each if name not in same])
            for number, (each, same) in enumerate(zip(starts, _same_as_before(starts), strict=True), 1)
        ]
        about = ["For each later start: what had changed since the start before."] if len(starts) > 1 else []
        yield Section("Machine and versions", about, tables=tables)


def _same_as_before(starts):
    """For each start, the set of names whose values have not changed since the start before."""
    return [set(), *({n for n in after if after[n] == before.get(n)} for before, after in itertools.pairwise(starts))]


def _of_start(name, value):
    return words.minute(value) if name == "date" else words.value(value)
