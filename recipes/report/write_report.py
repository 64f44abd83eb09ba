import pathlib

from recipes import report
from recipes import run as runs
from recipes.comparison.budget import parse_budget
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras
from recipes.report import words
from recipes.report.page import Section, page
from recipes.report.repeat import last_command, training_command
from recipes.report.sections.comparison import Compared, sections_of_comparison
from recipes.report.sections.environment import environment
from recipes.report.sections.run import sections_of_run
from recipes.report.sections.search import Best, sections_of_search
from recipes.report.sections.side_by_side import sections_side_by_side
from recipes.settings.beside_search import idle
from recipes.tuning.objective import objective_of


def write_report(directories, out=None):
    """Write an HTML page about runs, searches and comparisons, in a single file.

    Args:
        directories: at least one path. The directory of several seeds means the runs in it. Several runs stand side by
            side first.
        out: path of the page, which must not exist; None for report.html in the first directory, which is replaced.

    Returns:
        The path of the page.

    Raises:
        CommandError: the file `out` exists.
        WorldError: a directory holds no run, search or comparison, a file in it is damaged, or the page cannot be
            written.
    """
    if out is not None and pathlib.Path(out).exists():
        raise CommandError(f"--out {out} is there already; name another file")
    start_keras(touch=False)  # `write_file` imports Keras
    read = {str(directory): _runs_in(runs.read_directory(directory)) for directory in directories}
    found = [_reported(each) for several in read.values() for each in several]
    text = page(", ".join(title for title, _ in found), [*_side_by_side(read), *_under_titles(found)])
    out = pathlib.Path(directories[0], runs.names.REPORT) if out is None else pathlib.Path(out)
    runs.write_file(out, lambda part: part.write_text(text, encoding="utf-8", errors="replace"))
    return out


def _runs_in(found):
    """A list of `recipes.run.Directory`: the runs of several seeds in their order, or the directory itself."""
    if found.kind != "seeds":
        return [found]
    directories = runs.directories_of_seeds(found.directory)
    if not directories:
        raise WorldError(f"{found.directory} holds nothing to report (no run of a seed)")
    return [runs.read_directory(each) for each in directories]


def _side_by_side(read):
    """The sections that compare the runs among several directories.

    Args:
        read: dict from paths to lists of `recipes.run.Directory`.
    """
    groups = {path: [each for each in several if each.kind in ("run", "trial")] for path, several in read.items()}
    groups = {path: several for path, several in groups.items() if several}
    with runs.may_be_damaged(", ".join(groups)):
        return sections_side_by_side(_by_shortest_names(groups))


def _by_shortest_names(groups):
    """The same groups by the names of their directories, or by whole paths where two have the same name."""
    names = {path: pathlib.Path(path).resolve().name for path in groups}
    are_unique = len(set(names.values())) == len(names)
    return {names[path] if are_unique else path: several for path, several in groups.items()}


def _under_titles(found):
    """Yield all sections. If there are several directories, the title of each stands above its sections."""
    for title, sections in found:
        if len(found) > 1:
            yield Section(title)
        yield from sections


def _reported(found):
    """The title and the sections of a directory."""
    with runs.may_be_damaged(found.directory):
        title = f"{words.title_of(found)}: {found.kind} in {found.directory.name}"
        return title, SECTIONS[found.kind](found)


def _of_run(found):
    return sections_of_run(found, training_command(found))


def _of_search(found):
    first, *_ = found.recipe.objectives
    metric = found.config.get("metric") or first
    sections = sections_of_search(found.directory, metric, _best(found), last_command(found))
    return [*sections, *environment(found.starts)]


def _best(found):
    """The best trial of a search; None if the search is not done."""
    if found.result is None:
        return None
    best = found.result["best"]
    settings = {name: best["settings"][name] for name in found.recipe.settings() if name in best["settings"]}
    try:
        recipe = type(found.recipe)(**settings)
    except CommandError as error:
        raise WorldError(f"{found.directory / runs.names.RESULT} is damaged, or of another version: {error}") from error
    return Best(
        runs.finite_number(best, "score"),
        training_command(found, recipe),
        settings,
        tuple(idle(recipe)),
    )


def _of_comparison(found):
    sections = sections_of_comparison(found.directory, _compared(found), last_command(found))
    starts = [{name: value for name, value in start.items() if name != "epochs"} for start in found.starts]
    return [*sections, *environment(starts)]  # the budget says how long trainings are


def _compared(found):
    """The result of a comparison, `Compared`; None if it is not done."""
    if found.result is None:
        return None
    means, targets = found.result["means"], (found.config["target"], found.config.get("target_loss"))
    differences = {(each["a"], each["b"]): each for each in found.result["differences"]}
    budget = parse_budget(found.config["budget"])
    verdicts = [*report.budget_lines(means, budget), *report.end_lines(means)]
    verdicts += report.noise_lines(means, differences)
    cells, rates = report.cells_of(found.recipe, means, *targets), {r["contender"]: r["learning_rate"] for r in means}
    return Compared(found.result["score"], cells, verdicts, objective_of(found.recipe), rates)


SECTIONS = {"run": _of_run, "trial": _of_run, "search": _of_search, "comparison": _of_comparison}
