import itertools
import pathlib
import shlex

from recipes.comparison.compare import cells_of, noise_lines
from recipes.errors import CommandError, WorldError
from recipes.machine.backend import start_keras
from recipes.run.run import may_be_damaged, read_json
from recipes.settings.resolve import recorded
from recipes.tuning.tune import command_of

NAME, CARD = "report.html", "model_card.md"  # in the directory that they are of


def report(directories, recipes, out=None):
    """Write one HTML page of runs, searches and comparisons that needs nothing from elsewhere.

    Args:
        directories: paths, one at least; that of several seeds stands for the runs in it.
        recipes: dict from the names of recipes to functions that import them.
        out: path of the page, which must not exist; None: report.html in the first directory, anew.

    Returns:
        The path.

    Raises:
        CommandError: there is a file already.
        WorldError: a directory holds nothing to report, a file in it is damaged, or the page cannot be written.
    """
    if out is not None and pathlib.Path(out).exists():
        raise CommandError(f"--out {out} is there already; name another file")
    start_keras(touch=False)  # which comes with what writes files
    from callbacks.write_whole import write_whole
    from recipes.report.page import Section, page

    every = [each for directory in directories for each in _runs_of(pathlib.Path(directory))]
    found, sections = [_report_of(directory, recipes) for directory in every], []
    for title, each in found:
        heading = [] if len(found) == 1 else [Section(title)]
        sections += [*heading, *each]
    text = page(found[0][0] if len(found) == 1 else ", ".join(title for title, _ in found), sections)
    out = pathlib.Path(directories[0], NAME) if out is None else pathlib.Path(out)
    try:
        write_whole(out, lambda part: part.write_text(text, encoding="utf-8", errors="replace"))
    except OSError as error:
        raise WorldError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def write_model_card(directory, recipes):
    """Write the model card of a run that is done.

    Returns:
        Its path.

    Raises:
        CommandError, WorldError: as `report`.
    """
    start_keras(touch=False)
    from callbacks.write_whole import write_whole
    from recipes.report.model_card import model_card

    directory = pathlib.Path(directory)
    config, recipe, settings = _read(directory, recipes)
    result = read_json(directory / "result.json") or {}
    start = (read_json(directory / "environment.json") or {})["starts"][-1]
    modules = ["custom_optimizers", "recipes.layers", *getattr(recipe, "CLASSES", ())]
    sentence, repeat = recipe.summary(settings, result), _repeat(directory, config, recipe, settings)
    text = model_card(config, result, start, sentence, repeat, modules)
    write_whole(directory / CARD, lambda part: part.write_text(text, encoding="utf-8", errors="replace"))
    return directory / CARD


def _read(directory, recipes):
    """`(config, recipe, settings)` of a directory."""
    config = read_json(directory / "config.json")
    if config is None:
        raise WorldError(f"{directory} holds nothing to report (no config.json)")
    try:
        recipe = recipes[config["recipe"]]()
        settings = recorded(recipe, {name: config[name] for name in recipe.Settings.__dataclass_fields__})
    except (KeyError, TypeError, ValueError) as error:
        raise WorldError(f"{directory / 'config.json'} is damaged, or of another version: {error}") from error
    return config, recipe, settings


def _runs_of(directory):
    """The runs of a directory of several seeds, by seed; any other stands for itself."""
    config = read_json(directory / "config.json") or {}
    if "seeds" not in config or "contenders" in config:
        return [directory]
    runs = [path.parent for path in directory.glob("seed-*/config.json")]
    if not runs:
        raise WorldError(f"{directory} holds nothing to report (no run of a seed)")
    return sorted(runs, key=lambda run: (len(run.name), run.name))


def _report_of(directory, recipes):
    """`(title, sections)` of one directory."""
    config, recipe, settings = _read(directory, recipes)
    kind = "search" if "tuner" in config else "comparison" if "contenders" in config else "run"
    title = f"{config['recipe']} on {config.get('data', 'made data')}: {kind} in {directory.name}"
    with may_be_damaged(directory):
        return title, _OF[kind](directory, config, recipe, settings)


def _of_run(directory, config, recipe, settings):
    from recipes.report.of_run import sections_of_run

    result = read_json(directory / "result.json")
    done = result is not None and result.get("of") == {"epochs": settings.epochs}
    sentence = recipe.summary(settings, result) if done and "judged_on" not in config else None
    return sections_of_run(directory, config, _repeat(directory, config, recipe, settings), sentence)


def _repeat(directory, config, recipe, settings):
    """The command that trains with these settings, on the backend, devices and data of the directory."""
    places = {name: config[name] for name in ("strategy", "dtype") if config.get(name) not in (None, "auto")}
    options = [f"--{name} {value}" for name, value in places.items()]
    options += [f"--data-dir {shlex.quote(place)}" for place in _data_dir(directory)]
    return _on_backend(config, " ".join([command_of(recipe, settings), *options]))


def _on_backend(config, command):
    """A command with what chooses its backend; TensorFlow is chosen without."""
    backend = config.get("backend") or "tensorflow"
    return command if backend == "tensorflow" else f"KERAS_BACKEND={shlex.quote(backend)} {command}"


def _data_dir(directory):
    """What the last start gave as --data-dir, in a list; an empty one if it gave none."""
    words = []
    for word in _command(directory):
        words += word.split("=", 1) if word.startswith("--data-dir=") else [word]
    return [value for option, value in itertools.pairwise(words) if option == "--data-dir"][-1:]


def _of_search(directory, config, recipe, settings):
    from recipes.report.of_group import sections_of_search
    from recipes.report.of_run import environment

    result = read_json(directory / "result.json")
    best = None
    if result is not None:
        found = recipe.Settings(**result["best"]["settings"])
        best = result["best"]["score"], _repeat(directory, config, recipe, found)
    metric = config.get("metric") or next(iter(recipe.OBJECTIVES))
    sections = sections_of_search(directory, metric, best, _last_command(directory, config))
    return [*sections, *environment(directory)]


def _of_comparison(directory, config, recipe, settings):
    from recipes.report.of_group import sections_of_comparison
    from recipes.report.of_run import environment

    result, cells, verdicts = read_json(directory / "result.json"), None, []
    if result is not None:
        cells = cells_of(recipe, result["means"], config["target"])
        found = {(each["a"], each["b"]): each for each in result["differences"]}
        verdicts = list(noise_lines(result["means"], found))
    sections = sections_of_comparison(directory, cells, verdicts, _last_command(directory, config))
    return [*sections, *environment(directory)]


_OF = {"run": _of_run, "search": _of_search, "comparison": _of_comparison}


def _last_command(directory, config):
    """As it was given, for a shell."""
    command = _command(directory)
    return _on_backend(config, shlex.join(command)) if command else "(the command was not recorded)"


def _command(directory):
    """The words of the last start, a list; an empty one if there is no record of it."""
    starts = (read_json(directory / "environment.json") or {}).get("starts", [])
    return starts[-1]["command"] if starts else []
